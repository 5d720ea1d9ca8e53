/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One image file of any type, record by record, along the table of catalogue.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "engine/base/cleanup.h"
#include "engine/engine.h"
#include "engine/image/catalogue.h"
#include "engine/image/image-priv.h"
#include "engine/image/print.h"

struct show {
	struct printer p;
	const struct image_content *content;
	const struct field_choice *choice;
	struct image_reader *reader;
	struct err *err;
	size_t shown;
};

/* The number of bytes behind a record. It comes from the image: sums are checked. */
static int payload_size(struct show *s, const struct image_payload *payload,
			const ProtobufCMessage *msg, uint64_t *ret)
{
	uint64_t sum = 0, n, mask = payload->align ? payload->align - 1 : 0;
	bool over = false;

	*ret = 0;
	if (payload->unless && print_number(msg, payload->unless, &n) && n)
		return 0;
	if (payload->rest) {
		*ret = image_left(s->reader);
		return 0;
	}
	for (int i = 0; payload->fields[i]; i++)
		if (print_number(msg, payload->fields[i], &n))
			over |= __builtin_add_overflow(sum, n, &sum);
	over |= __builtin_mul_overflow(sum, (uint64_t)payload->unit, &sum);
	over |= __builtin_add_overflow(sum, mask, &sum);
	if (over || sum > SIZE_MAX)
		return err_image(s->err, "image '%s': a %s has an impossible length",
				 image_name(s->reader), msg->descriptor->name);
	*ret = sum & ~mask;
	return 0;
}

static int skip_payload(struct show *s, const struct image_payload *payload,
			const ProtobufCMessage *msg, uint64_t *ret)
{
	const void *bytes;
	int r = payload_size(s, payload, msg, ret);

	return r < 0 ? r : image_next_raw(s->reader, (size_t)*ret, &bytes, s->err);
}

/* Record, bytes behind it: as text a block, in JSON an object that the caller closes. */
static void print_record(struct show *s, const ProtobufCMessage *msg, uint64_t bytes, int depth)
{
	FILE *out = s->p.out;
	bool some;

	if (s->p.json) {
		fputc('{', out);
		some = print_members(&s->p, msg, s->choice, depth);
		if (bytes)
			fprintf(out, "%s\"extra_bytes\": %" PRIu64, some ? ", " : "", bytes);
		return;
	}
	fprintf(out, "%.*s%s {\n", depth - 1, "\t\t", msg->descriptor->name);
	print_members(&s->p, msg, s->choice, depth);
	if (bytes)
		fprintf(out, "%.*s(%" PRIu64 " bytes of data)\n", depth, "\t\t", bytes);
}

/* The records inside a record; of a message queue, its messages. */
static int show_inner(struct show *s, const ProtobufCMessage *outer)
{
	uint64_t n = 0, bytes;

	if (!s->content->inner || !print_number(outer, s->content->inner_count, &n) || !n)
		return 0;
	if (s->p.json)
		fputs(", \"entries\": [", s->p.out);
	for (uint64_t i = 0; i < n; i++) {
		cleanup_msg ProtobufCMessage *msg = NULL;
		int r = image_one(s->reader, s->content->inner, &msg, s->err);

		if (r == 0)
			r = skip_payload(s, &s->content->after_inner, msg, &bytes);
		if (r < 0)
			return r;
		if (s->p.json && i)
			fputs(", ", s->p.out);
		print_record(s, msg, bytes, 2);
		fputs(s->p.json ? "}" : "\t}\n", s->p.out);
	}
	if (s->p.json)
		fputc(']', s->p.out);
	return 0;
}

/* 1: a record was read; 0: end of the file. */
static int show_record(struct show *s, bool first)
{
	const struct image_content *c = s->content;
	cleanup_msg ProtobufCMessage *msg = NULL;
	bool head = first && c->first;
	uint64_t bytes;
	int r = image_next(s->reader, head ? c->first : c->record, &msg, s->err);

	if (r <= 0)
		return r;
	r = skip_payload(s, head ? &c->after_first : &c->after_record, msg, &bytes);
	if (r < 0)
		return r;
	/* Records with nothing of the chosen fields are left out, but not what stands in them. */
	if (s->choice && !print_has_any(msg, s->choice) && !c->inner)
		return 1;
	if (s->p.json)
		fputs(s->shown ? ",\n" : "\n", s->p.out);
	s->shown++;
	print_record(s, msg, bytes, 1);
	r = show_inner(s, msg);
	if (r < 0)
		return r;
	fputs(s->p.json ? "}" : "}\n", s->p.out);
	return 1;
}

static int read_word(struct image_reader *reader, uint32_t *ret, struct err *err)
{
	const void *raw;

	if (image_left(reader) < sizeof(*ret))
		return 0;
	if (image_next_raw(reader, sizeof(*ret), &raw, err) < 0)
		return err->code;
	memcpy(ret, raw, sizeof(*ret));
	return 1;
}

/*
 * The head is two magics, of all sets or of service files and its own; that of the inventory, and
 * of every file of old sets, is its own alone.
 */
static int find_content(const char *file, struct show *s)
{
	uint32_t first = 0, own;
	int r;

	s->content = image_content_by_name(file);
	if (s->content)
		return 0;
	r = read_word(s->reader, &first, s->err);
	own = first;
	if (r > 0 && (first == IMAGE_COMMON_MAGIC || first == IMAGE_SERVICE_MAGIC))
		r = read_word(s->reader, &own, s->err);
	if (r < 0)
		return r;
	s->content = r > 0 ? image_content_by_magic(own) : NULL;
	if (!s->content)
		return err_image(s->err, "image '%s': not an image file of a known type", file);
	return 0;
}

/* Every chosen path must be one of some message of this image. */
static int check_choice(struct show *s)
{
	const ProtobufCMessageDescriptor *descs[] = { s->content->first, s->content->record,
						      s->content->inner };
	const struct field_choice *missing = s->choice;

	for (const struct field_choice *c = s->choice; c; c = c->next) {
		struct field_choice one = *c;
		bool fits = false;

		one.next = NULL;
		for (size_t i = 0; i < 3 && !fits; i++)
			fits = descs[i] && field_choice_fits(&one, descs[i], &missing);
		if (!fits)
			return err_usage(s->err, "image '%s' (%s) has no field '%.*s'",
					 image_name(s->reader), s->content->name, (int)missing->len,
					 missing->name);
	}
	return 0;
}

static int show_records(struct show *s)
{
	bool first = true;
	int r;

	if (s->p.json)
		fprintf(s->p.out, "\"magic\": \"%s\", \"entries\": [", s->content->name);
	else
		fprintf(s->p.out, "%s\n", s->content->name);
	while ((r = show_record(s, first)) > 0)
		first = false;
	if (r == 0 && s->p.json)
		fputs(s->shown ? "\n]" : "]", s->p.out);
	return r;
}

/* A file without a head: how much of it there is. */
static void show_raw(struct show *s)
{
	size_t left = image_left(s->reader);

	if (s->p.json) {
		fprintf(s->p.out, "\"magic\": \"%s\", \"bytes\": %zu", s->content->name, left);
		return;
	}
	fprintf(s->p.out, "%s, %zu bytes", s->content->name, left);
	if (strcmp(s->content->name, "PAGES") == 0)
		fprintf(s->p.out, ", %zu pages", left / IMAGE_PAGE_SIZE);
	fputc('\n', s->p.out);
}

static void show_name(struct show *s, const char *file)
{
	if (s->p.json)
		fputs("{\"file\": ", s->p.out);
	print_string(&s->p, file, strlen(file));
	fputs(s->p.json ? ", " : ": ", s->p.out);
}

int ckpt_show(const char *file, const struct ckpt_show_options *opts, FILE *out, struct err *err)
{
	cleanup_with(arena_done) struct arena arena = { 0 };
	cleanup_reader struct image_reader *reader = NULL;
	struct show s = { .p = { .out = out, .json = opts->json }, .err = err };
	struct field_choice *choice = NULL;
	int r;

	r = opts->fields ? field_choice_parse(&arena, opts->fields, &choice, err) : 0;
	if (r == 0)
		r = image_open(AT_FDCWD, IMG_PAGES, &reader, err, "%s", file);
	if (r == IMAGE_ABSENT)
		return err_sys(err, -ENOENT, "opening image '%s'", file);
	if (r < 0)
		return r;
	s.choice = choice;
	s.reader = reader;
	r = find_content(file, &s);
	if (r == 0)
		r = check_choice(&s);
	if (r < 0)
		return r;
	show_name(&s, file);
	if (s.content->record)
		r = show_records(&s);
	else
		show_raw(&s);
	if (r == 0 && opts->json)
		fputs("}\n", out);
	if (r == 0 && (fflush(out) != 0 || ferror(out)))
		r = err_sys(err, -EIO, "writing what is in image '%s'", file);
	return r;
}
