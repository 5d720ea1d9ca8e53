/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lines of /proc/locks, which fdinfo repeats behind "lock:":
 * "1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF".
 */
#include "engine/base/proctext.h"

#include <errno.h>
#include <fcntl.h>

#include "engine/base/proctext-priv.h"

static bool word_is(const struct proc_cursor *w, const char *s)
{
	return scan_left(w) == strlen(s) && !memcmp(w->p, s, strlen(s));
}

static bool next_word(struct proc_cursor *c, struct proc_cursor *w)
{
	scan_blanks(c);
	return scan_word(c, w);
}

static enum proc_lock_kind lock_kind(const struct proc_cursor *w)
{
	static const struct {
		const char *name;
		enum proc_lock_kind kind;
	} kinds[] = {
		{ "POSIX", PROC_LOCK_POSIX }, { "OFDLCK", PROC_LOCK_OFD },
		{ "FLOCK", PROC_LOCK_FLOCK }, { "LEASE", PROC_LOCK_LEASE },
		{ "DELEG", PROC_LOCK_DELEG },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (word_is(w, kinds[i].name))
			return kinds[i].kind;
	return PROC_LOCK_OTHER;
}

static bool lock_type(const struct proc_cursor *w, int *ret)
{
	if (word_is(w, "READ"))
		*ret = F_RDLCK;
	else if (word_is(w, "WRITE"))
		*ret = F_WRLCK;
	else if (word_is(w, "UNLCK") || word_is(w, "NONE") || word_is(w, "RW"))
		*ret = F_UNLCK;
	else
		return false;
	return true;
}

/* "fd:00:2531452", or "<none>:0" for a lock that has lost its file. */
static bool lock_file(struct proc_cursor *c, struct proc_lock *l)
{
	scan_blanks(c);
	if (scan_lit(c, "<none>:"))
		return scan_u64(c, 10, &l->ino);
	return scan_u32(c, 16, &l->dev_major) && scan_char(c, ':') &&
	       scan_u32(c, 16, &l->dev_minor) && scan_char(c, ':') && scan_u64(c, 10, &l->ino);
}

static bool lock_range(struct proc_cursor *c, struct proc_lock *l)
{
	if (!scan_field_i64(c, &l->start))
		return false;
	scan_blanks(c);
	if (scan_lit(c, "EOF"))
		l->end = INT64_MAX;
	else if (!scan_field_i64(c, &l->end))
		return false;
	return scan_end(c);
}

bool scan_lock(struct proc_cursor *c, struct proc_lock *ret)
{
	struct proc_lock l = { 0 };
	struct proc_cursor kind, how, type;

	scan_blanks(c);
	if (!scan_i64(c, &l.id) || !scan_char(c, ':'))
		return false;
	/* Waiters are indented by their depth: "1: -> POSIX", "1:  -> POSIX". */
	scan_blanks(c);
	l.blocked = scan_lit(c, "->");
	if (!next_word(c, &kind) || !next_word(c, &how) || !next_word(c, &type))
		return false;
	l.kind = lock_kind(&kind);
	l.mandatory = word_is(&how, "MANDATORY");
	l.breaking = word_is(&how, "BREAKING");
	if (!lock_type(&type, &l.type) || !scan_field_i32(c, &l.pid) || !lock_file(c, &l) ||
	    !lock_range(c, &l))
		return false;
	*ret = l;
	return true;
}

int proc_locks_next(struct proc_cursor *c, struct proc_lock *ret)
{
	struct proc_cursor line;

	if (!scan_line(c, &line))
		return 0;
	return scan_lock(&line, ret) ? 1 : -EINVAL;
}
