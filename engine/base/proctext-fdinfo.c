/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /proc/PID/fdinfo/N: four lines for every file, then what the kind of file adds. Kernel formats
 * mix bases: octal flags, hexadecimal counts without a prefix, decimal descriptors.
 */
#include "engine/base/proctext-fdinfo.h"

#include <errno.h>

#include "engine/base/proctext-priv.h"

int proc_line_next(struct proc_cursor *c, struct proc_line *ret)
{
	struct proc_cursor line;

	while (scan_line(c, &line)) {
		const char *colon = memchr(line.p, ':', scan_left(&line));
		struct proc_cursor key, val;

		if (!colon)
			continue;
		key = (struct proc_cursor){ line.p, colon };
		val = (struct proc_cursor){ colon + 1, line.end };
		scan_blanks(&key);
		scan_blanks(&val);
		while (key.end > key.p && scan_is_blank(key.end[-1]))
			key.end--;
		while (val.end > val.p && scan_is_blank(val.end[-1]))
			val.end--;
		*ret = (struct proc_line){ key.p, val.p, scan_left(&key), scan_left(&val) };
		return 1;
	}
	return 0;
}

bool proc_line_is(const struct proc_line *line, const char *key)
{
	return line->key_len == strlen(key) && !memcmp(line->key, key, line->key_len);
}

static struct proc_cursor line_val(const struct proc_line *line)
{
	return proc_cursor(line->val, line->val_len);
}

int proc_fdinfo_parse(const char *text, size_t len, struct proc_fdinfo *ret)
{
	enum { POS = 1, FLAGS = 2, MNT = 4, ALL = 7 };
	struct proc_fdinfo fi = { .rest = proc_cursor(text, len) };
	unsigned int seen = 0;

	for (;;) {
		struct proc_cursor v, next = fi.rest;
		struct proc_line line;
		bool ok;

		if (proc_line_next(&next, &line) == 0)
			break;
		v = line_val(&line);
		if (proc_line_is(&line, "pos")) {
			seen |= POS;
			ok = scan_field_i64(&v, &fi.pos);
		} else if (proc_line_is(&line, "flags")) {
			seen |= FLAGS;
			ok = scan_field_u32(&v, 8, &fi.flags);
		} else if (proc_line_is(&line, "mnt_id")) {
			seen |= MNT;
			ok = scan_field_i32(&v, &fi.mnt_id);
		} else if (proc_line_is(&line, "ino") && !fi.has_ino) {
			fi.has_ino = true;
			ok = scan_field_u64(&v, 10, &fi.ino);
		} else if (seen != ALL) {
			fi.rest = next; /* a line that a newer kernel has put between */
			continue;
		} else {
			break;
		}
		if (!ok || !scan_end(&v))
			return -EINVAL;
		fi.rest = next;
	}
	if (seen != ALL)
		return -EINVAL;
	*ret = fi;
	return 0;
}

int proc_fdinfo_find(const struct proc_fdinfo *fi, const char *key, struct proc_line *ret)
{
	struct proc_cursor c = fi->rest;
	struct proc_line line;

	while (proc_line_next(&c, &line))
		if (proc_line_is(&line, key)) {
			*ret = line;
			return 1;
		}
	return 0;
}

/* The value behind a key, or -ENOENT. */
static int find_val(const struct proc_fdinfo *fi, const char *key, struct proc_cursor *ret)
{
	struct proc_line line;

	if (!proc_fdinfo_find(fi, key, &line))
		return -ENOENT;
	*ret = line_val(&line);
	return 0;
}

int proc_fdinfo_int(const struct proc_fdinfo *fi, const char *key, int64_t *ret)
{
	struct proc_cursor v;
	int64_t n;
	int r = find_val(fi, key, &v);

	if (r < 0)
		return r;
	if (!scan_field_i64(&v, &n) || !scan_end(&v))
		return -EINVAL;
	*ret = n;
	return 0;
}

/* A number in base 8, 10 or 16 that is all of the value. */
static int find_u64(const struct proc_fdinfo *fi, const char *key, unsigned int base, uint64_t *ret)
{
	struct proc_cursor v;
	uint64_t n;
	int r = find_val(fi, key, &v);

	if (r < 0)
		return r;
	if (!scan_field_u64(&v, base, &n) || !scan_end(&v))
		return -EINVAL;
	*ret = n;
	return 0;
}

/* For the lines that come with the first one of a kind: without them the text was cut. */
static int must(int r)
{
	return r == -ENOENT ? -EINVAL : r;
}

int proc_fdinfo_eventfd(const struct proc_fdinfo *fi, struct proc_eventfd *ret)
{
	struct proc_eventfd e = { .semaphore = -1 };
	int64_t sem;
	int r = find_u64(fi, "eventfd-count", 16, &e.count);

	if (r < 0)
		return r;
	r = proc_fdinfo_int(fi, "eventfd-semaphore", &sem);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0)
		e.semaphore = sem != 0;
	*ret = e;
	return 0;
}

int proc_fdinfo_signalfd(const struct proc_fdinfo *fi, uint64_t *ret_mask)
{
	return find_u64(fi, "sigmask", 16, ret_mask);
}

/* "(seconds, nanoseconds)" */
static int find_time(const struct proc_fdinfo *fi, const char *key, int64_t *ret_s, int64_t *ret_ns)
{
	struct proc_cursor v;
	int64_t s, ns;
	int r = find_val(fi, key, &v);

	if (r < 0)
		return r;
	if (!scan_char(&v, '(') || !scan_i64(&v, &s) || !scan_lit(&v, ", ") || !scan_i64(&v, &ns) ||
	    !scan_char(&v, ')') || !scan_end(&v) || ns < 0 || ns >= 1000000000)
		return -EINVAL;
	*ret_s = s;
	*ret_ns = ns;
	return 0;
}

int proc_fdinfo_timerfd(const struct proc_fdinfo *fi, struct proc_timerfd *ret)
{
	struct proc_timerfd t = { 0 };
	uint64_t flags;
	int64_t clock;
	int r = proc_fdinfo_int(fi, "clockid", &clock);

	if (r < 0)
		return r;
	r = find_u64(fi, "ticks", 10, &t.ticks);
	if (r == 0)
		r = find_u64(fi, "settime flags", 8, &flags);
	if (r == 0)
		r = find_time(fi, "it_value", &t.value_s, &t.value_ns);
	if (r == 0)
		r = find_time(fi, "it_interval", &t.interval_s, &t.interval_ns);
	if (r < 0)
		return must(r);
	if (clock < 0 || clock > 64 || flags > INT32_MAX)
		return -EINVAL;
	t.clock_id = (int)clock;
	t.settime_flags = (int)flags;
	*ret = t;
	return 0;
}

int proc_fdinfo_pidfd(const struct proc_fdinfo *fi, struct proc_pidfd *ret)
{
	struct proc_pidfd p = { 0 };
	struct proc_cursor v;
	int r = find_val(fi, "Pid", &v);

	if (r < 0)
		return r;
	if (!scan_field_i32(&v, &p.pid) || !scan_end(&v))
		return -EINVAL;
	if (find_val(fi, "NSpid", &v) == 0 && !scan_nsid(&v, &p.nspid))
		return -EINVAL;
	*ret = p;
	return 0;
}
