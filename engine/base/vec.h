/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A growing array of any type: `struct { T *v; size_t n, cap; } name`, declared with VEC(T).
 * Elements move when the array grows; keep indexes, not pointers, across a push.
 */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VEC(T)                 \
	struct {               \
		T *v;          \
		size_t n, cap; \
	}

/* Grows *v to hold n + 1 elements of the given size. Returns 0 or -ENOMEM. */
static inline int vec_grow_raw(void **v, size_t n, size_t *cap, size_t size)
{
	size_t want;
	void *p;

	if (n < *cap)
		return 0;
	want = *cap ? *cap * 2 : 8;
	if (want > PTRDIFF_MAX / size)
		return -ENOMEM;
	p = reallocarray(*v, want, size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = want;
	return 0;
}

/* Appends a zeroed element and gives a pointer to it, or NULL when out of memory. */
#define vec_add(vec)                                                                    \
	(vec_grow_raw((void **)&(vec)->v, (vec)->n, &(vec)->cap, sizeof(*(vec)->v)) < 0 \
		 ? NULL                                                                 \
		 : (__typeof__((vec)->v))memset(&(vec)->v[(vec)->n++], 0, sizeof(*(vec)->v)))

#define vec_foreach(it, vec) for (it = (vec)->v; it && it < (vec)->v + (vec)->n; it++)

#define vec_free(vec)                      \
	do {                               \
		free((vec)->v);            \
		(vec)->v = NULL;           \
		(vec)->n = (vec)->cap = 0; \
	} while (0)
