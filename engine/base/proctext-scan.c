/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/proctext-priv.h"

#include <limits.h>

static int digit_value(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return INT_MAX;
}

bool scan_u64(struct proc_cursor *c, unsigned int base, uint64_t *ret)
{
	const char *p = c->p;
	uint64_t v = 0;

	for (; p < c->end; p++) {
		unsigned int d = (unsigned int)digit_value(*p);

		if (d >= base)
			break;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	if (p == c->p)
		return false;
	c->p = p;
	*ret = v;
	return true;
}

bool scan_i64(struct proc_cursor *c, int64_t *ret)
{
	struct proc_cursor t = *c;
	bool minus = scan_char(&t, '-');
	uint64_t v;

	if (!scan_u64(&t, 10, &v) || v > (uint64_t)INT64_MAX + minus)
		return false;
	*c = t;
	*ret = minus ? (int64_t)-v : (int64_t)v;
	return true;
}

bool scan_u32(struct proc_cursor *c, unsigned int base, uint32_t *ret)
{
	struct proc_cursor t = *c;
	uint64_t v;

	if (!scan_u64(&t, base, &v) || v > UINT32_MAX)
		return false;
	*c = t;
	*ret = (uint32_t)v;
	return true;
}

bool scan_i32(struct proc_cursor *c, int32_t *ret)
{
	struct proc_cursor t = *c;
	int64_t v;

	if (!scan_i64(&t, &v) || v < INT32_MIN || v > INT32_MAX)
		return false;
	*c = t;
	*ret = (int32_t)v;
	return true;
}

/* After a number: the field must end here, "12x" is not 12. */
static bool at_field_end(const struct proc_cursor *c)
{
	return c->p == c->end || scan_is_blank(*c->p) || *c->p == '\n';
}

bool scan_field_u64(struct proc_cursor *c, unsigned int base, uint64_t *ret)
{
	struct proc_cursor t = *c;
	uint64_t v;

	scan_blanks(&t);
	if (!scan_u64(&t, base, &v) || !at_field_end(&t))
		return false;
	*c = t;
	*ret = v;
	return true;
}

bool scan_field_i64(struct proc_cursor *c, int64_t *ret)
{
	struct proc_cursor t = *c;
	int64_t v;

	scan_blanks(&t);
	if (!scan_i64(&t, &v) || !at_field_end(&t))
		return false;
	*c = t;
	*ret = v;
	return true;
}

bool scan_field_u32(struct proc_cursor *c, unsigned int base, uint32_t *ret)
{
	struct proc_cursor t = *c;
	uint64_t v;

	if (!scan_field_u64(&t, base, &v) || v > UINT32_MAX)
		return false;
	*c = t;
	*ret = (uint32_t)v;
	return true;
}

bool scan_field_i32(struct proc_cursor *c, int32_t *ret)
{
	struct proc_cursor t = *c;
	int64_t v;

	if (!scan_field_i64(&t, &v) || v < INT32_MIN || v > INT32_MAX)
		return false;
	*c = t;
	*ret = (int32_t)v;
	return true;
}

bool scan_nsid(struct proc_cursor *c, struct proc_nsid *ret)
{
	struct proc_nsid id = { 0 };
	int32_t v;

	while (scan_field_i32(c, &v)) {
		if (!id.levels++)
			id.outer = v;
		id.inner = v;
	}
	if (!id.levels || !scan_end(c))
		return false;
	*ret = id;
	return true;
}
