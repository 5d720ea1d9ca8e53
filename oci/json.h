/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON as a tree, the only place that knows yajl. Numbers stay the text they were written as, the
 * order of keys is kept, and every value knows its path, so that an error can name it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"

/* What a hostile document may cost us. */
#define JSON_MAX_BYTES (8u << 20)
#define JSON_MAX_VALUES (1u << 20)
#define JSON_MAX_DEPTH 64

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	bool truth;	  /* JSON_BOOL */
	const char *text; /* JSON_STRING: no zero byte inside; JSON_NUMBER: as written */
	const char *key;  /* in an object, else NULL */
	size_t index;	  /* position in the parent */
	size_t n;	  /* number of children */
	struct json *parent, *first, *last, *next;
};

#define json_foreach(it, val) for (it = (val)->first; it; it = it->next)

/*
 * Parses text of len bytes; file is how errors name it. The tree lives in the arena. Refuses
 * documents over the limits above, duplicate keys of an object, zero bytes in strings, and anything
 * after the value. 0, -EBADMSG with class ERR_IMAGE, or -ENOMEM.
 */
int json_parse(struct arena *a, const char *file, const char *text, size_t len, struct json **ret,
	       struct err *err) __attribute__((warn_unused_result));

/* The value of a key of an object, or NULL; NULL as well if obj is NULL or no object. */
struct json *json_get(const struct json *obj, const char *key);

/* "a string", "null", "an object" ... as it is put into errors. */
const char *json_type_name(enum json_type type);

/* Writes a path such as "linux.namespaces[2].type" (cut in front if it is too long); "" for the
 * top. */
void json_path(const struct json *val, char *out, size_t size);

/* Copies text for an error: printable, at most max characters, then "...". */
void json_quote(const char *text, size_t max, char *out, size_t size);

/*
 * New values, in the arena; NULL when out of memory. key is NULL in an array. With a key that
 * exists the old value is replaced in its place. Strings are copied. parent may be NULL: a value of
 * its own.
 */
struct json *json_put(struct arena *a, struct json *parent, const char *key, enum json_type type);
struct json *json_put_string(struct arena *a, struct json *parent, const char *key,
			     const char *text);
struct json *json_put_int(struct arena *a, struct json *parent, const char *key, long long v);
struct json *json_put_uint(struct arena *a, struct json *parent, const char *key,
			   unsigned long long v);
struct json *json_put_bool(struct arena *a, struct json *parent, const char *key, bool v);

/* Writes the tree; pretty: indented by four spaces, with a final newline. 0 or -ENOMEM, err filled.
 */
int json_write(const struct json *val, bool pretty, struct buf *out, struct err *err)
	__attribute__((warn_unused_result));
