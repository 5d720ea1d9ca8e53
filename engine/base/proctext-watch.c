/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fdinfo lines that come once for each watched object: epoll, inotify, fanotify, file locks. */
#include "engine/base/proctext-fdinfo.h"

#include <errno.h>

#include "engine/base/proctext-priv.h"

/* The next line that begins with prefix; c is left behind it, rest holds what follows the prefix.
 */
static bool next_with_prefix(struct proc_cursor *c, const char *prefix, struct proc_cursor *rest)
{
	struct proc_cursor line;

	while (scan_line(c, &line))
		if (scan_lit(&line, prefix)) {
			*rest = line;
			return true;
		}
	return false;
}

/* Blanks, then the literal key. */
static bool key(struct proc_cursor *c, const char *name)
{
	struct proc_cursor t = *c;

	scan_blanks(&t);
	if (!scan_lit(&t, name))
		return false;
	*c = t;
	return true;
}

/* "tfd:        5 events:       19 data:                5  pos:0 ino:61af sdev:7" */
int proc_fdinfo_next_epoll(struct proc_cursor *c, struct proc_epoll *ret)
{
	struct proc_epoll e = { 0 };
	struct proc_cursor v;

	if (!next_with_prefix(c, "tfd:", &v))
		return 0;
	if (!scan_field_i32(&v, &e.tfd) || !key(&v, "events:") ||
	    !scan_field_u32(&v, 16, &e.events) || !key(&v, "data:") ||
	    !scan_field_u64(&v, 16, &e.data))
		return -EINVAL;
	if (key(&v, "pos:")) {
		if (!scan_field_i64(&v, &e.pos) || !key(&v, "ino:") ||
		    !scan_field_u64(&v, 16, &e.ino) || !key(&v, "sdev:") ||
		    !scan_field_u32(&v, 16, &e.sdev))
			return -EINVAL;
		e.has_file = true;
	}
	*ret = e;
	return 1;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return -1;
}

/*
 * "fhandle-bytes:8 fhandle-type:1 f_handle:49ccb6170e84d5ed". Absent, or cut off at f_handle, where
 * the file system cannot make handles.
 */
static bool scan_fhandle(struct proc_cursor *c, struct proc_fhandle *ret)
{
	struct proc_fhandle h = { 0 };
	uint32_t type;

	if (!key(c, "fhandle-bytes:")) {
		*ret = h;
		return true;
	}
	if (!scan_field_u32(c, 16, &h.n) || h.n > sizeof(h.bytes) || !key(c, "fhandle-type:") ||
	    !scan_field_u32(c, 16, &type) || !key(c, "f_handle:"))
		return false;
	h.type = (int32_t)type;
	for (uint32_t i = 0; i < h.n; i++) {
		int hi, lo;

		if (scan_left(c) < 2)
			return false;
		hi = hex_digit(c->p[0]);
		lo = hex_digit(c->p[1]);
		if (hi < 0 || lo < 0)
			return false;
		h.bytes[i] = (uint8_t)(hi << 4 | lo);
		c->p += 2;
	}
	if (!scan_end(c))
		return false;
	*ret = h;
	return true;
}

/* "inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 " and the file handle */
int proc_fdinfo_next_inotify(struct proc_cursor *c, struct proc_inotify *ret)
{
	struct proc_inotify w = { 0 };
	struct proc_cursor v;
	uint32_t ignored, wd;

	if (!next_with_prefix(c, "inotify wd:", &v))
		return 0;
	if (!scan_field_u32(&v, 16, &wd) || !key(&v, "ino:") || !scan_field_u64(&v, 16, &w.ino) ||
	    !key(&v, "sdev:") || !scan_field_u32(&v, 16, &w.sdev) || !key(&v, "mask:") ||
	    !scan_field_u32(&v, 16, &w.mask) || !key(&v, "ignored_mask:") ||
	    !scan_field_u32(&v, 16, &ignored) || !scan_fhandle(&v, &w.handle))
		return -EINVAL;
	w.wd = (int)wd;
	*ret = w;
	return 1;
}

static bool scan_masks(struct proc_cursor *v, struct proc_fanotify *f)
{
	return key(v, "mflags:") && scan_field_u32(v, 16, &f->mflags) && key(v, "mask:") &&
	       scan_field_u32(v, 16, &f->mask) && key(v, "ignored_mask:") &&
	       scan_field_u32(v, 16, &f->ignored_mask);
}

static bool scan_fanotify(struct proc_cursor *v, struct proc_fanotify *f)
{
	if (key(v, "flags:")) {
		f->kind = PROC_FANOTIFY_GROUP;
		return scan_field_u32(v, 16, &f->flags) && key(v, "event-flags:") &&
		       scan_field_u32(v, 16, &f->event_flags);
	}
	if (key(v, "ino:")) {
		f->kind = PROC_FANOTIFY_INODE;
		return scan_field_u64(v, 16, &f->ino) && key(v, "sdev:") &&
		       scan_field_u32(v, 16, &f->sdev) && scan_masks(v, f) &&
		       scan_fhandle(v, &f->handle);
	}
	if (key(v, "mnt_id:")) {
		f->kind = PROC_FANOTIFY_MOUNT;
		return scan_field_u32(v, 16, &f->mnt_id) && scan_masks(v, f);
	}
	if (key(v, "sdev:")) {
		f->kind = PROC_FANOTIFY_SB;
		return scan_field_u32(v, 16, &f->sdev) && scan_masks(v, f);
	}
	f->kind = PROC_FANOTIFY_OTHER;
	return true;
}

int proc_fdinfo_next_fanotify(struct proc_cursor *c, struct proc_fanotify *ret)
{
	struct proc_fanotify f = { 0 };
	struct proc_cursor v;

	if (!next_with_prefix(c, "fanotify ", &v))
		return 0;
	if (!scan_fanotify(&v, &f))
		return -EINVAL;
	*ret = f;
	return 1;
}

int proc_fdinfo_next_lock(struct proc_cursor *c, struct proc_lock *ret)
{
	struct proc_cursor v;

	if (!next_with_prefix(c, "lock:", &v))
		return 0;
	return scan_lock(&v, ret) ? 1 : -EINVAL;
}
