/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scanner below the procfs parsers: a cursor that never runs past its end, over text that need
 * not be terminated. Every scan_* returns whether it matched; the cursor has moved only if it did.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/proctext.h"

static inline size_t scan_left(const struct proc_cursor *c)
{
	return (size_t)(c->end - c->p);
}

/* Cuts the next line off c, without its newline. False at the end of the text. */
static inline bool scan_line(struct proc_cursor *c, struct proc_cursor *line)
{
	const char *nl;

	if (c->p == c->end)
		return false;
	nl = memchr(c->p, '\n', scan_left(c));
	*line = (struct proc_cursor){ c->p, nl ? nl : c->end };
	c->p = nl ? nl + 1 : c->end;
	return true;
}

static inline bool scan_is_blank(char ch)
{
	return ch == ' ' || ch == '\t';
}

static inline void scan_blanks(struct proc_cursor *c)
{
	while (c->p < c->end && scan_is_blank(*c->p))
		c->p++;
}

/* Nothing but blanks is left. */
static inline bool scan_end(struct proc_cursor *c)
{
	scan_blanks(c);
	return c->p == c->end;
}

static inline bool scan_char(struct proc_cursor *c, char ch)
{
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

/* A literal, exactly as given. */
static inline bool scan_lit(struct proc_cursor *c, const char *lit)
{
	size_t n = strlen(lit);

	if (scan_left(c) < n || memcmp(c->p, lit, n))
		return false;
	c->p += n;
	return true;
}

/* Bytes up to the next blank, newline or end; at least one. */
static inline bool scan_word(struct proc_cursor *c, struct proc_cursor *word)
{
	const char *p = c->p;

	while (p < c->end && !scan_is_blank(*p) && *p != '\n')
		p++;
	if (p == c->p)
		return false;
	*word = (struct proc_cursor){ c->p, p };
	c->p = p;
	return true;
}

/* Unsigned digits in base 8, 10 or 16; no sign, no prefix; false if there are none or they
 * overflow. */
bool scan_u64(struct proc_cursor *c, unsigned int base, uint64_t *ret);

/* A decimal number with an optional minus. */
bool scan_i64(struct proc_cursor *c, int64_t *ret);

/* The same, refusing what does not fit. */
bool scan_u32(struct proc_cursor *c, unsigned int base, uint32_t *ret);
bool scan_i32(struct proc_cursor *c, int32_t *ret);

/* The same behind blanks and up to a blank or the end: a field of a table. */
bool scan_field_u64(struct proc_cursor *c, unsigned int base, uint64_t *ret);
bool scan_field_i64(struct proc_cursor *c, int64_t *ret);
bool scan_field_u32(struct proc_cursor *c, unsigned int base, uint32_t *ret);
bool scan_field_i32(struct proc_cursor *c, int32_t *ret);

/* A list of ids from the outer to the inner pid namespace; at least one. */
bool scan_nsid(struct proc_cursor *c, struct proc_nsid *ret);

/* A line of /proc/locks. */
bool scan_lock(struct proc_cursor *c, struct proc_lock *ret);
