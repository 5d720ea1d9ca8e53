/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small containers that the specification, the state and the plan share. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/arena.h"

#define OCI_LIST(T)       \
	struct {          \
		T *v;     \
		size_t n; \
	}

struct oci_strings {
	const char **v;
	size_t n;
};

struct oci_pair {
	const char *key, *val;
};

struct oci_pairs {
	struct oci_pair *v;
	size_t n;
};

/* The value of a key, or NULL. */
const char *oci_pairs_get(const struct oci_pairs *pairs, const char *key);

/* Zeroed memory for n elements of the given size, or NULL when out of memory. */
static inline void *oci_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

/* A zero-terminated copy of len bytes, or NULL when out of memory. */
static inline char *oci_text(struct arena *a, const char *text, size_t len)
{
	char *p = oci_array(a, len + 1, 1);

	if (p && len)
		memcpy(p, text, len);
	return p;
}
