/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A choice of fields, "pid,tc.comm": a tree of names along which messages are walked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <protobuf-c/protobuf-c.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"

struct field_choice {
	const char *name;
	size_t len;
	struct field_choice *children; /* NULL: the whole field */
	struct field_choice *next;
};

/* Parses a comma list of dotted paths; memory from the arena, names borrowed from text. */
int field_choice_parse(struct arena *arena, const char *text, struct field_choice **ret,
		       struct err *err) __attribute__((warn_unused_result));

/* The choice for one field of a message, or NULL when it is not chosen. */
const struct field_choice *field_choice_find(const struct field_choice *list, const char *name);

/* Whether messages of that type have all fields of the list, at their depths; else *ret_missing is
 * the first that they lack. */
bool field_choice_fits(const struct field_choice *list, const ProtobufCMessageDescriptor *desc,
		       const struct field_choice **ret_missing);
