/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#include "engine/base/cleanup.h"
#include "oci/types.h"

/* State of one parse. fail is set by a callback before it cancels. */
struct parse {
	struct arena *a;
	struct json *top, *open; /* open: innermost array or object not yet closed */
	const char *key;	 /* read, its value not yet */
	size_t depth, values;
	char fail[512];
	bool nomem;
};

static int refuse(struct parse *p, const char *what, const struct json *at)
{
	char path[256];

	json_path(at, path, sizeof(path));
	snprintf(p->fail, sizeof(p->fail), "%s%s%s", path, path[0] ? ": " : "", what);
	return 0;
}

static void append(struct json *parent, struct json *val)
{
	val->parent = parent;
	val->index = parent->n++;
	if (parent->last)
		parent->last->next = val;
	else
		parent->first = val;
	parent->last = val;
}

static struct json *add(struct parse *p, enum json_type type)
{
	struct json *val;

	if (p->values++ >= JSON_MAX_VALUES) {
		refuse(p, "too many values in one document", p->open);
		return NULL;
	}
	val = oci_array(p->a, 1, sizeof(*val));
	if (!val) {
		p->nomem = true;
		return NULL;
	}
	val->type = type;
	val->key = p->key;
	p->key = NULL;
	if (p->open)
		append(p->open, val);
	else
		p->top = val;
	return val;
}

static int on_null(void *arg)
{
	return add(arg, JSON_NULL) ? 1 : 0;
}

static int on_bool(void *arg, int v)
{
	struct json *val = add(arg, JSON_BOOL);

	if (val)
		val->truth = v;
	return val ? 1 : 0;
}

static int on_text(struct parse *p, enum json_type type, const char *text, size_t len)
{
	struct json *val = add(p, type);

	if (!val)
		return 0;
	if (len && memchr(text, 0, len))
		return refuse(p, "a string with a zero byte inside", val);
	val->text = oci_text(p->a, text, len);
	p->nomem |= !val->text;
	return val->text ? 1 : 0;
}

static int on_number(void *arg, const char *text, size_t len)
{
	return on_text(arg, JSON_NUMBER, text, len);
}

static int on_string(void *arg, const unsigned char *text, size_t len)
{
	return on_text(arg, JSON_STRING, (const char *)text, len);
}

static int on_key(void *arg, const unsigned char *text, size_t len)
{
	struct parse *p = arg;

	if (len && memchr(text, 0, len))
		return refuse(p, "a key with a zero byte inside", p->open);
	p->key = oci_text(p->a, (const char *)text, len);
	p->nomem |= !p->key;
	return p->key ? 1 : 0;
}

static int on_open(struct parse *p, enum json_type type)
{
	struct json *val;

	if (p->depth >= JSON_MAX_DEPTH)
		return refuse(p, "nested too deep", p->open);
	val = add(p, type);
	if (!val)
		return 0;
	p->open = val;
	p->depth++;
	return 1;
}

static int on_open_object(void *arg)
{
	return on_open(arg, JSON_OBJECT);
}

static int on_open_array(void *arg)
{
	return on_open(arg, JSON_ARRAY);
}

static int on_close(void *arg)
{
	struct parse *p = arg;

	p->depth--;
	p->open = p->open->parent;
	return 1;
}

static int compare_keys(const void *x, const void *y)
{
	const struct json *const *a = x, *const *b = y;

	return strcmp((*a)->key, (*b)->key);
}

/* Two values for one key: readers differ in which one they take, so nobody may rely on either. */
static int on_close_object(void *arg)
{
	struct parse *p = arg;
	cleanup_free struct json **v = NULL;
	struct json *it;
	size_t i = 0;

	if (p->open->n > 1) {
		v = reallocarray(NULL, p->open->n, sizeof(struct json *));
		p->nomem |= !v;
		if (!v)
			return 0;
		json_foreach(it, p->open) v[i++] = it;
		qsort(v, p->open->n, sizeof(struct json *), compare_keys);
		for (i = 1; i < p->open->n; i++)
			if (!strcmp(v[i - 1]->key, v[i]->key))
				return refuse(p, "this key is there twice", v[i]);
	}
	return on_close(arg);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_open_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close_object,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close,
};

static size_t line_of(const char *text, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

static int syntax_error(yajl_handle y, const char *file, const char *text, size_t len,
			struct err *err)
{
	unsigned char *msg = yajl_get_error(y, 0, (const unsigned char *)text, len);
	size_t at = yajl_get_bytes_consumed(y);
	char what[200];
	int r;

	if (msg)
		msg[strcspn((char *)msg, "\n")] = '\0';
	json_quote(msg ? (const char *)msg : "syntax error", 150, what, sizeof(what));
	if (msg)
		yajl_free_error(y, msg);
	r = err_image(err, "%s: line %zu: not valid JSON: %s", file,
		      line_of(text, at < len ? at : len), what);
	err_hint(err, "the file is damaged or was cut short");
	return r;
}

int json_parse(struct arena *a, const char *file, const char *text, size_t len, struct json **ret,
	       struct err *err)
{
	struct parse p = { .a = a };
	yajl_status s;
	yajl_handle y;
	int r = 0;

	if (len > JSON_MAX_BYTES)
		return err_image(err, "%s: %zu bytes, more than the %u that are accepted", file,
				 len, JSON_MAX_BYTES);
	y = yajl_alloc(&callbacks, NULL, &p);
	if (!y)
		return err_nomem(err);
	s = yajl_parse(y, (const unsigned char *)text, len);
	if (s == yajl_status_ok)
		s = yajl_complete_parse(y);
	if (p.nomem)
		r = err_nomem(err);
	else if (p.fail[0])
		r = err_image(err, "%s: %s", file, p.fail);
	else if (s != yajl_status_ok)
		r = syntax_error(y, file, text, len, err);
	else if (!p.top || p.open)
		r = err_image(err, "%s: no complete JSON value in it", file);
	yajl_free(y);
	if (r < 0)
		return r;
	*ret = p.top;
	return 0;
}

struct json *json_get(const struct json *obj, const char *key)
{
	struct json *it;

	if (!obj || obj->type != JSON_OBJECT)
		return NULL;
	json_foreach(it, obj) if (!strcmp(it->key, key)) return it;
	return NULL;
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = { "null",	 "a truth value", "a number",
					     "a string", "a list",	  "an object" };

	return names[type];
}

void json_quote(const char *text, size_t max, char *out, size_t size)
{
	size_t i = 0;

	if (max > size - 4)
		max = size - 4;
	for (; text[i] && i < max; i++) {
		unsigned char c = (unsigned char)text[i];

		out[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	strcpy(out + i, text[i] ? "..." : "");
}

void json_path(const struct json *val, char *out, size_t size)
{
	char step[80], key[64];
	size_t at = size - 1, n;

	out[at] = '\0';
	for (; val && val->parent; val = val->parent) {
		if (val->key) {
			json_quote(val->key, 48, key, sizeof(key));
			if (strpbrk(key, ".[ ") || !key[0])
				snprintf(step, sizeof(step), "[\"%s\"]", key);
			else
				snprintf(step, sizeof(step), "%s%s", val->parent->parent ? "." : "",
					 key);
		} else {
			snprintf(step, sizeof(step), "[%zu]", val->index);
		}
		n = strlen(step);
		if (n + 3 > at) {
			memcpy(out + at - 3, "...", 3);
			at -= 3;
			break;
		}
		at -= n;
		memcpy(out + at, step, n);
	}
	memmove(out, out + at, size - at);
}

struct json *json_put(struct arena *a, struct json *parent, const char *key, enum json_type type)
{
	struct json *val = key ? json_get(parent, key) : NULL;

	if (val) {
		val->text = NULL;
		val->first = val->last = NULL;
		val->n = 0;
		val->type = type;
		return val;
	}
	val = oci_array(a, 1, sizeof(*val));
	if (!val)
		return NULL;
	val->type = type;
	if (key) {
		val->key = arena_strdup(a, key);
		if (!val->key)
			return NULL;
	}
	if (parent)
		append(parent, val);
	return val;
}

struct json *json_put_string(struct arena *a, struct json *parent, const char *key,
			     const char *text)
{
	/* Copied first: text may belong to the value that is replaced. */
	const char *copy = arena_strdup(a, text);
	struct json *val = copy ? json_put(a, parent, key, JSON_STRING) : NULL;

	if (val)
		val->text = copy;
	return val;
}

static struct json *put_number(struct arena *a, struct json *parent, const char *key,
			       const char *text)
{
	struct json *val = text ? json_put(a, parent, key, JSON_NUMBER) : NULL;

	if (val)
		val->text = text;
	return val;
}

struct json *json_put_int(struct arena *a, struct json *parent, const char *key, long long v)
{
	return put_number(a, parent, key, arena_printf(a, "%lld", v));
}

struct json *json_put_uint(struct arena *a, struct json *parent, const char *key,
			   unsigned long long v)
{
	return put_number(a, parent, key, arena_printf(a, "%llu", v));
}

struct json *json_put_bool(struct arena *a, struct json *parent, const char *key, bool v)
{
	struct json *val = json_put(a, parent, key, JSON_BOOL);

	if (val)
		val->truth = v;
	return val;
}

/* Length of the well-formed UTF-8 sequence at s, or 0. */
static size_t utf8_sequence(const unsigned char *s)
{
	size_t n = s[0] < 0x80	 ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

/* A file name may hold any bytes, JSON may not: what is no UTF-8 becomes U+FFFD, as Go writes it.
 */
static yajl_gen_status gen_text(yajl_gen g, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;
	const unsigned char *s = (const unsigned char *)text;

	if (buf_reserve(&b, strlen(text)) < 0)
		return yajl_gen_in_error_state;
	while (*s) {
		size_t n = utf8_sequence(s);

		if (buf_append(&b, n ? (const char *)s : "\xef\xbf\xbd", n ?: 3) < 0)
			return yajl_gen_in_error_state;
		s += n ?: 1;
	}
	return yajl_gen_string(g, (const unsigned char *)b.data, b.len);
}

/* Depth is bounded: by JSON_MAX_DEPTH for what was parsed, by the code for what was built. */
static yajl_gen_status gen_value(yajl_gen g, const struct json *val)
{
	bool object = val->type == JSON_OBJECT;
	yajl_gen_status s;
	const struct json *it;

	switch (val->type) {
	case JSON_NULL:
		return yajl_gen_null(g);
	case JSON_BOOL:
		return yajl_gen_bool(g, val->truth);
	case JSON_NUMBER:
		return yajl_gen_number(g, val->text, strlen(val->text));
	case JSON_STRING:
		return gen_text(g, val->text);
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	s = object ? yajl_gen_map_open(g) : yajl_gen_array_open(g);
	json_foreach(it, val)
	{
		if (s == yajl_gen_status_ok && object)
			s = gen_text(g, it->key);
		if (s == yajl_gen_status_ok)
			s = gen_value(g, it);
	}
	if (s != yajl_gen_status_ok)
		return s;
	return object ? yajl_gen_map_close(g) : yajl_gen_array_close(g);
}

int json_write(const struct json *val, bool pretty, struct buf *out, struct err *err)
{
	const unsigned char *text;
	yajl_gen g = yajl_gen_alloc(NULL);
	size_t len;
	int r;

	if (!g)
		return err_nomem(err);
	yajl_gen_config(g, yajl_gen_beautify, (int)pretty);
	yajl_gen_config(g, yajl_gen_indent_string, "    ");
	if (gen_value(g, val) != yajl_gen_status_ok ||
	    yajl_gen_get_buf(g, &text, &len) != yajl_gen_status_ok)
		r = err_new(err, ERR_INTERNAL, -EINVAL, "writing JSON");
	else if (buf_append(out, text, len) < 0)
		r = err_nomem(err);
	else
		r = 0;
	yajl_gen_free(g);
	return r;
}
