/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages as text or JSON. */
#include "engine/image/print.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "engine/image/names.h"
#include "proto/hints.h"

/* A field of a message: where its values are and how many there are. */
struct values {
	const ProtobufCFieldDescriptor *f;
	const char *at;
	size_t n, size;
};

static size_t size_of_type(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	}
	return sizeof(void *);
}

static struct values values_of(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
	const char *member = (const char *)msg + f->offset;
	const char *quantifier = (const char *)msg + f->quantifier_offset;
	struct values v = { .f = f, .at = member, .n = 1, .size = size_of_type(f->type) };

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		v.at = *(const char *const *)member;
		v.n = *(const size_t *)quantifier;
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING) {
		const void *p = *(const void *const *)member;

		v.n = p && (p != f->default_value || f->label == PROTOBUF_C_LABEL_REQUIRED);
	} else if (f->label == PROTOBUF_C_LABEL_OPTIONAL) {
		v.n = *(const protobuf_c_boolean *)quantifier ? 1 : 0;
	}
	return v;
}

static bool is_signed(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
	       type == PROTOBUF_C_TYPE_SFIXED32 || type == PROTOBUF_C_TYPE_INT64 ||
	       type == PROTOBUF_C_TYPE_SINT64 || type == PROTOBUF_C_TYPE_SFIXED64 ||
	       type == PROTOBUF_C_TYPE_ENUM;
}

/* An integer of any type; a negative one is extended to 64 bits. */
static uint64_t integer(const struct values *v, const char *at)
{
	if (v->f->type == PROTOBUF_C_TYPE_BOOL)
		return *(const protobuf_c_boolean *)at != 0;
	if (v->size == 8)
		return *(const uint64_t *)at;
	return is_signed(v->f->type) ? (uint64_t)(int64_t) * (const int32_t *)at
				     : *(const uint32_t *)at;
}

bool print_number(const ProtobufCMessage *msg, const char *field, uint64_t *ret)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(msg->descriptor, field);
	struct values v;

	if (!f || f->label == PROTOBUF_C_LABEL_REPEATED || f->type == PROTOBUF_C_TYPE_MESSAGE ||
	    f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES)
		return false;
	v = values_of(msg, f);
	if (v.n)
		*ret = integer(&v, v.at);
	return v.n != 0;
}

/* The length of the UTF-8 character at s, or 0 if there is none. */
static size_t utf8_char(const unsigned char *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80	     ? 1
		   : s[0] >> 5 == 6  ? 2
		   : s[0] >> 4 == 14 ? 3
		   : s[0] >> 3 == 30 ? 4
				     : 0;
	uint32_t c = n > 1 ? s[0] & (0x7fu >> n) : s[0];

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	return n;
}

/* Characters that a terminal would act on are escaped, as is what is no UTF-8. */
void print_string(const struct printer *p, const void *data, size_t len)
{
	const unsigned char *s = data;

	fputc('"', p->out);
	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(s + i, len - i);
		bool control = s[i] < 0x20 || s[i] == 0x7f ||
			       (n == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0);

		if (n == 1 && (s[i] == '"' || s[i] == '\\'))
			fprintf(p->out, "\\%c", s[i]);
		else if (n && !control)
			fwrite(s + i, 1, n, p->out);
		else if (!p->json)
			for (size_t k = 0; k < (n ?: 1); k++)
				fprintf(p->out, "\\x%02x", s[i + k]);
		else
			fprintf(p->out, "\\u%04x", n == 1 ? s[i] : n == 2 ? s[i + 1] : 0xfffd);
		i += n ?: 1;
	}
	fputc('"', p->out);
}

static void print_base64(FILE *out, const uint8_t *d, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	fputc('"', out);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)d[i] << 16 | (i + 1 < len ? (uint32_t)d[i + 1] << 8 : 0) |
			     (i + 2 < len ? d[i + 2] : 0);

		fputc(digits[v >> 18], out);
		fputc(digits[v >> 12 & 63], out);
		fputc(i + 1 < len ? digits[v >> 6 & 63] : '=', out);
		fputc(i + 2 < len ? digits[v & 63] : '=', out);
	}
	fputc('"', out);
}

/* Names of sockets are bytes, but nearly always readable ones. */
static void print_bytes(const struct printer *p, const ProtobufCBinaryData *b,
			const struct proto_hint *hint)
{
	if (p->json && !(hint && hint->kind == HINT_CONV))
		print_base64(p->out, b->data, b->len);
	else
		print_string(p, b->data, b->len);
}

static void print_enum(const struct printer *p, const ProtobufCFieldDescriptor *f, int value)
{
	const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	if (!e)
		fprintf(p->out, "%d", value);
	else
		fprintf(p->out, p->json ? "\"%s\"" : "%s", e->name);
}

static void print_hinted(FILE *out, const struct values *v, uint64_t n,
			 const struct proto_hint *hint)
{
	const char *word;

	switch (hint ? hint->kind : HINT_NONE) {
	case HINT_HEX:
		fprintf(out, "0x%llx", (unsigned long long)n);
		return;
	case HINT_DEV: /* 20 bits of the kernel's dev_t are the minor number */
		fprintf(out, "%llu:%llu", (unsigned long long)n >> 20,
			(unsigned long long)n & 0xfffff);
		return;
	case HINT_ODEV:
		fprintf(out, "%u:%u", major((dev_t)n), minor((dev_t)n));
		return;
	case HINT_FLAGS:
		names_print_flags(out, hint->table, n);
		return;
	case HINT_DICT:
		word = names_of_value(hint->table, v->f->name, n);
		if (word) {
			fputs(word, out);
			return;
		}
		break;
	default:
		break;
	}
	fprintf(out, is_signed(v->f->type) ? "%lld" : "%llu", (long long)n);
}

static void print_scalar(const struct printer *p, const struct values *v, const char *at,
			 const struct proto_hint *hint)
{
	uint64_t n;

	switch (v->f->type) {
	case PROTOBUF_C_TYPE_STRING:
		print_string(p, *(const char *const *)at, strlen(*(const char *const *)at));
		return;
	case PROTOBUF_C_TYPE_BYTES:
		print_bytes(p, (const ProtobufCBinaryData *)at, hint);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		print_enum(p, v->f, *(const int *)at);
		return;
	case PROTOBUF_C_TYPE_FLOAT:
		fprintf(p->out, "%g", (double)*(const float *)at);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		fprintf(p->out, "%g", *(const double *)at);
		return;
	default:
		break;
	}
	n = integer(v, at);
	if (v->f->type == PROTOBUF_C_TYPE_BOOL)
		fputs(n ? "true" : "false", p->out);
	else
		print_hinted(p->out, v, n, p->json ? NULL : hint);
}

/* The words of an address; 1 is IPv4, 4 IPv6. */
static bool print_address(FILE *out, const struct values *v)
{
	char text[INET6_ADDRSTRLEN];

	if (v->size != 4 || (v->n != 1 && v->n != 4) ||
	    !inet_ntop(v->n == 1 ? AF_INET : AF_INET6, v->at, text, sizeof(text)))
		return false;
	fputs(text, out);
	return true;
}

static bool members(const struct printer *p, const ProtobufCMessage *msg,
		    const struct field_choice *choice, int depth, bool hex);

static void indent(const struct printer *p, int depth)
{
	for (int i = 0; i < depth; i++)
		fputc('\t', p->out);
}

static void text_field(const struct printer *p, const struct values *v,
		       const struct field_choice *parts, int depth, const struct proto_hint *hint)
{
	if (v->f->type == PROTOBUF_C_TYPE_MESSAGE) {
		for (size_t i = 0; i < v->n; i++) {
			indent(p, depth);
			fprintf(p->out, "%s {\n", v->f->name);
			members(p, ((ProtobufCMessage *const *)v->at)[i], parts, depth + 1,
				hint && hint->kind == HINT_HEX);
			indent(p, depth);
			fputs("}\n", p->out);
		}
		return;
	}
	indent(p, depth);
	fprintf(p->out, "%s:", v->f->name);
	if (hint && hint->kind == HINT_IP && v->f->label == PROTOBUF_C_LABEL_REPEATED) {
		fputc(' ', p->out);
		if (print_address(p->out, v)) {
			fputc('\n', p->out);
			return;
		}
	}
	for (size_t i = 0; i < v->n; i++) {
		fputc(' ', p->out);
		print_scalar(p, v, v->at + i * v->size, hint);
	}
	fputc('\n', p->out);
}

static void json_field(const struct printer *p, const struct values *v,
		       const struct field_choice *parts, int depth, const struct proto_hint *hint)
{
	bool list = v->f->label == PROTOBUF_C_LABEL_REPEATED;

	fprintf(p->out, "\"%s\": %s", v->f->name, list ? "[" : "");
	for (size_t i = 0; i < v->n; i++) {
		if (i)
			fputs(", ", p->out);
		if (v->f->type != PROTOBUF_C_TYPE_MESSAGE) {
			print_scalar(p, v, v->at + i * v->size, hint);
			continue;
		}
		fputc('{', p->out);
		members(p, ((ProtobufCMessage *const *)v->at)[i], parts, depth + 1, false);
		fputc('}', p->out);
	}
	if (list)
		fputc(']', p->out);
}

/* hex: the field that holds this message is marked so, which holds for its numbers. */
static bool members(const struct printer *p, const ProtobufCMessage *msg,
		    const struct field_choice *choice, int depth, bool hex)
{
	static const struct proto_hint inherited = { .kind = HINT_HEX };
	const ProtobufCMessageDescriptor *desc = msg->descriptor;
	bool some = false;

	for (unsigned int i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &desc->fields[i];
		const struct field_choice *part = field_choice_find(choice, f->name);
		const struct proto_hint *hint = proto_hint_find(desc->name, f->name);
		struct values v = values_of(msg, f);

		if (!v.n || (choice && !part))
			continue;
		if (!hint && hex)
			hint = &inherited;
		if (p->json && some)
			fputs(", ", p->out);
		(p->json ? json_field : text_field)(p, &v, part ? part->children : NULL, depth,
						    hint);
		some = true;
	}
	return some;
}

bool print_members(const struct printer *p, const ProtobufCMessage *msg,
		   const struct field_choice *choice, int depth)
{
	return members(p, msg, choice, depth, false);
}

bool print_has_any(const ProtobufCMessage *msg, const struct field_choice *choice)
{
	const ProtobufCMessageDescriptor *desc = msg->descriptor;

	for (unsigned int i = 0; i < desc->n_fields; i++) {
		const struct field_choice *part = field_choice_find(choice, desc->fields[i].name);
		struct values v = values_of(msg, &desc->fields[i]);

		if (choice && !part)
			continue;
		if (!part || !part->children) {
			if (v.n)
				return true;
			continue;
		}
		for (size_t k = 0; k < v.n; k++)
			if (print_has_any(((ProtobufCMessage *const *)v.at)[k], part->children))
				return true;
	}
	return false;
}
