/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a JSON tree to C structs by tables: a schema names each key, its type and where its value
 * goes. Shared inside oci/ only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/json.h"
#include "oci/types.h"

/* Entries of a list of objects: comparing each with each must stay cheap. */
#define DECODE_MAX_LIST 2048

/* The type at the field's offset is given in brackets. */
enum field_type {
	FIELD_BOOL,    /* [bool] */
	FIELD_STRING,  /* [const char *] */
	FIELD_PATH,    /* [const char *] shorter than PATH_MAX, no newline */
	FIELD_STRINGS, /* [struct oci_strings] a list of strings */
	FIELD_U32,     /* [uint32_t] */
	FIELD_I64,     /* [int64_t] */
	FIELD_U64,     /* [uint64_t] */
	FIELD_PRESENT, /* [bool] true if an object is there */
	FIELD_MAP,     /* [struct oci_pairs] an object of strings */
	FIELD_OBJECT,  /* [the sub-schema's struct] */
	FIELD_LIST,    /* [OCI_LIST(the sub-schema's struct)] a list of objects */
	FIELD_WORD,    /* [unsigned int] index in words */
};

struct schema;

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	bool required; /* must be there, not null and not an empty string */
	const struct schema *sub;
	const char *const *words; /* FIELD_WORD: ends with NULL */
	const char *hint;	  /* what to do about a bad value */
};

struct schema {
	const struct field *fields;
	size_t n;
	size_t size; /* of the struct */
};

#define SCHEMA(table, type)                                                                    \
	{                                                                                      \
		.fields = table, .n = sizeof(table) / sizeof((table)[0]), .size = sizeof(type) \
	}

struct decoder {
	struct arena *a;
	const char *file;
	struct err *err;
};

/*
 * Fills out (zeroed by the caller) from an object. null counts as absent; keys that the schema does
 * not name are ignored. 0, -EBADMSG or -ENOMEM with d->err filled.
 */
int decode_object(struct decoder *d, const struct json *val, const struct schema *s, void *out);

/* Refuses a list of more than DECODE_MAX_LIST entries. 0 or -EBADMSG with d->err filled. */
int decode_check_length(struct decoder *d, const struct json *list);

/* An error about a value: "FILE: PATH: text". The hint may be NULL. Returns -EBADMSG. */
int decode_fail(struct decoder *d, const struct json *val, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
