/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A message as text for people or as JSON for programs, by its descriptor alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <protobuf-c/protobuf-c.h>

#include "engine/image/fields.h"

struct printer {
	FILE *out;
	bool json;
};

/*
 * Writes the chosen fields (all: NULL) of a message. Text: one line a field, indented by depth
 * tabs. JSON: the members of an object without its braces, so that more can follow; numbers as
 * numbers, bytes in base64. Strings are escaped: they may hold anything. Returns whether there was
 * a field.
 */
bool print_members(const struct printer *p, const ProtobufCMessage *msg,
		   const struct field_choice *choice, int depth);

/* Whether the message has a chosen field at all. */
bool print_has_any(const ProtobufCMessage *msg, const struct field_choice *choice);

/* Writes a string in quotes, with escapes. */
void print_string(const struct printer *p, const void *data, size_t len);

/* A number or truth of the message, by the name of its field. False if there is none. */
bool print_number(const ProtobufCMessage *msg, const char *field, uint64_t *ret);
