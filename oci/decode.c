/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/decode.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	enum json_type json;
	const char *expected;
} types[] = {
	[FIELD_BOOL] = { JSON_BOOL, "true or false" },
	[FIELD_STRING] = { JSON_STRING, "a string" },
	[FIELD_PATH] = { JSON_STRING, "a path (a string)" },
	[FIELD_STRINGS] = { JSON_ARRAY, "a list of strings" },
	[FIELD_U32] = { JSON_NUMBER, "a whole number from 0 to 4294967295" },
	[FIELD_I64] = { JSON_NUMBER, "a whole number of 64 bits" },
	[FIELD_U64] = { JSON_NUMBER, "a whole number from 0 to 18446744073709551615" },
	[FIELD_PRESENT] = { JSON_OBJECT, "an object" },
	[FIELD_MAP] = { JSON_OBJECT, "an object of strings" },
	[FIELD_OBJECT] = { JSON_OBJECT, "an object" },
	[FIELD_LIST] = { JSON_ARRAY, "a list of objects" },
	[FIELD_WORD] = { JSON_STRING, "a string" },
};

const char *oci_pairs_get(const struct oci_pairs *pairs, const char *key)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (!strcmp(pairs->v[i].key, key))
			return pairs->v[i].val;
	return NULL;
}

int decode_fail(struct decoder *d, const struct json *val, const char *hint, const char *fmt, ...)
{
	char path[512], text[1024];
	va_list ap;
	int r;

	json_path(val, path, sizeof(path));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r = err_image(d->err, "%s: %s%s%s", d->file, path, path[0] ? ": " : "", text);
	if (hint)
		err_hint(d->err, "%s", hint);
	return r;
}

static int wrong_type(struct decoder *d, const struct json *val, const char *expected,
		      const char *hint)
{
	char seen[80], text[400];

	if (val->type == JSON_STRING || val->type == JSON_NUMBER) {
		json_quote(val->text, 60, seen, sizeof(seen));
		snprintf(text, sizeof(text), "expected %s, found %s ('%s')", expected,
			 json_type_name(val->type), seen);
	} else {
		snprintf(text, sizeof(text), "expected %s, found %s", expected,
			 json_type_name(val->type));
	}
	return decode_fail(d, val, hint ?: "correct the value in the file", "%s", text);
}

/* Digits only: 1.0 and 1e3 are numbers to JSON, but no runtime writes or reads them as integers. */
static int decode_unsigned(struct decoder *d, const struct json *val, const struct field *f,
			   uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (val->text[0] < '0' || val->text[0] > '9')
		return wrong_type(d, val, types[f->type].expected, f->hint);
	errno = 0;
	v = strtoull(val->text, &end, 10);
	if (errno || *end || v > max)
		return wrong_type(d, val, types[f->type].expected, f->hint);
	*ret = v;
	return 0;
}

static int decode_number(struct decoder *d, const struct json *val, const struct field *f,
			 void *out)
{
	uint64_t u = 0;
	char *end;
	int r;

	if (f->type == FIELD_I64) {
		errno = 0;
		*(int64_t *)out = strtoll(val->text, &end, 10);
		if (errno || *end)
			return wrong_type(d, val, types[f->type].expected, f->hint);
		return 0;
	}
	r = decode_unsigned(d, val, f, f->type == FIELD_U32 ? UINT32_MAX : UINT64_MAX, &u);
	if (r < 0)
		return r;
	if (f->type == FIELD_U32)
		*(uint32_t *)out = (uint32_t)u;
	else
		*(uint64_t *)out = u;
	return 0;
}

static int decode_text(struct decoder *d, const struct json *val, const struct field *f,
		       const char **out)
{
	if (f->required && !val->text[0])
		return decode_fail(d, val, f->hint ?: "give it a value", "must not be empty");
	if (f->type == FIELD_PATH && strlen(val->text) >= PATH_MAX)
		return decode_fail(d, val, f->hint, "a path of %zu bytes, the kernel takes %d",
				   strlen(val->text), PATH_MAX - 1);
	*out = val->text;
	return 0;
}

static int decode_strings(struct decoder *d, const struct json *val, const struct field *f,
			  struct oci_strings *out)
{
	const struct json *it;
	size_t i = 0;

	out->v = oci_array(d->a, val->n, sizeof(*out->v));
	if (!out->v)
		return err_nomem(d->err);
	json_foreach(it, val)
	{
		if (it->type != JSON_STRING)
			return wrong_type(d, it, "a string", f->hint);
		out->v[i++] = it->text;
	}
	out->n = i;
	return 0;
}

static int decode_map(struct decoder *d, const struct json *val, const struct field *f,
		      struct oci_pairs *out)
{
	const struct json *it;
	size_t i = 0;

	out->v = oci_array(d->a, val->n, sizeof(*out->v));
	if (!out->v)
		return err_nomem(d->err);
	json_foreach(it, val)
	{
		if (it->type != JSON_STRING)
			return wrong_type(d, it, "a string", f->hint);
		out->v[i++] = (struct oci_pair){ .key = it->key, .val = it->text };
	}
	out->n = i;
	return 0;
}

int decode_check_length(struct decoder *d, const struct json *val)
{
	if (val->n <= DECODE_MAX_LIST)
		return 0;
	return decode_fail(d, val, NULL, "%zu entries, more than the %d that are accepted", val->n,
			   DECODE_MAX_LIST);
}

static int decode_list(struct decoder *d, const struct json *val, const struct field *f, void *out)
{
	OCI_LIST(void) list = { 0 };
	const struct json *it;
	int r = decode_check_length(d, val);

	if (r < 0)
		return r;
	list.v = oci_array(d->a, val->n, f->sub->size);
	if (!list.v)
		return err_nomem(d->err);
	json_foreach(it, val)
	{
		if (it->type != JSON_OBJECT)
			return wrong_type(d, it, "an object", f->hint);
		r = decode_object(d, it, f->sub, (char *)list.v + list.n * f->sub->size);
		if (r < 0)
			return r;
		list.n++;
	}
	/* The list's own type differs by element, not in layout: a pointer and a size. */
	memcpy(out, &list, sizeof(list));
	return 0;
}

static int decode_word(struct decoder *d, const struct json *val, const struct field *f,
		       unsigned int *out)
{
	char known[256] = "", seen[64];
	size_t n = 0;

	for (unsigned int i = 0; f->words[i]; i++) {
		if (!strcmp(f->words[i], val->text)) {
			*out = i;
			return 0;
		}
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "",
				      f->words[i]);
	}
	json_quote(val->text, 40, seen, sizeof(seen));
	return decode_fail(d, val, f->hint, "unknown word '%s', known are: %s", seen, known);
}

static int decode_field(struct decoder *d, const struct json *val, const struct field *f, void *out)
{
	if (val->type != types[f->type].json)
		return wrong_type(d, val, types[f->type].expected, f->hint);
	switch (f->type) {
	case FIELD_BOOL:
		*(bool *)out = val->truth;
		return 0;
	case FIELD_PRESENT:
		*(bool *)out = true;
		return 0;
	case FIELD_STRING:
	case FIELD_PATH:
		return decode_text(d, val, f, out);
	case FIELD_STRINGS:
		return decode_strings(d, val, f, out);
	case FIELD_U32:
	case FIELD_I64:
	case FIELD_U64:
		return decode_number(d, val, f, out);
	case FIELD_MAP:
		return decode_map(d, val, f, out);
	case FIELD_OBJECT:
		return decode_object(d, val, f->sub, out);
	case FIELD_LIST:
		return decode_list(d, val, f, out);
	case FIELD_WORD:
		return decode_word(d, val, f, out);
	}
	return err_new(d->err, ERR_INTERNAL, -EINVAL, "field of unknown type %d", f->type);
}

static int missing(struct decoder *d, const struct json *obj, const struct field *f, bool null)
{
	char path[512];

	json_path(obj, path, sizeof(path));
	err_image(d->err, "%s: %s%s%s %s", d->file, path, path[0] ? "." : "", f->key,
		  null ? "is null, but it is required" : "is missing");
	err_hint(d->err, "%s", f->hint ?: "add it");
	return -EBADMSG;
}

int decode_object(struct decoder *d, const struct json *val, const struct schema *s, void *out)
{
	int r;

	for (size_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		const struct json *v = json_get(val, f->key);

		if (!v || v->type == JSON_NULL) {
			if (f->required)
				return missing(d, val, f, v != NULL);
			continue;
		}
		r = decode_field(d, v, f, (char *)out + f->offset);
		if (r < 0)
			return r;
	}
	return 0;
}
