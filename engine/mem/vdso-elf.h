/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions that a vDSO exports, read from its text. Pure functions over untrusted bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/vec.h"

/* One name of a function; another name of the same function is another one of these. */
struct vdso_function {
	const char *name;  /* in the text that was read */
	uint64_t at, size; /* from the start of the text; as the symbol table has it */
};

struct vdso_functions {
	VEC(struct vdso_function);
};

/* Reads the dynamic symbol table. 0, -EINVAL (no valid vDSO), or -ENOMEM. Free with vec_free(). */
int vdso_functions_read(const uint8_t *text, size_t len, struct vdso_functions *ret);

/* A jump to be written at one place of the old vDSO, to one of the new. */
struct vdso_jump {
	uint64_t from, to;
};

struct vdso_jumps {
	VEC(struct vdso_jump);
};

/*
 * What leads every function of the old one to the same of the new one. Positive VDSO_LACKS if the
 * new one has no function of that name; *ret_name is it then, of the old text.
 */
enum { VDSO_LACKS = 1 };
int vdso_jumps_plan(const struct vdso_functions *old, const struct vdso_functions *now,
		    struct vdso_jumps *ret, const char **ret_name);

/* Whether all jumps lead to the offset that they start at. */
bool vdso_jumps_stay(const struct vdso_jumps *jumps);

/* The name of a function in which there is no room for a jump of that length, or NULL. */
const char *vdso_too_short(const struct vdso_functions *old, size_t jump_len);
