/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Choices of fields. */
#include "engine/image/fields.h"

#include <string.h>

static struct field_choice *find_n(struct field_choice *list, const char *name, size_t len)
{
	for (; list; list = list->next)
		if (list->len == len && memcmp(list->name, name, len) == 0)
			return list;
	return NULL;
}

const struct field_choice *field_choice_find(const struct field_choice *list, const char *name)
{
	return find_n((struct field_choice *)list, name, strlen(name));
}

/* One path. A field that is chosen as a whole stays so, whatever is said about its parts. */
static int add_path(struct arena *arena, struct field_choice **list, const char *path, size_t len,
		    struct err *err)
{
	bool whole = false;

	while (len) {
		const char *dot = memchr(path, '.', len);
		size_t word = dot ? (size_t)(dot - path) : len;
		struct field_choice *at = find_n(*list, path, word);

		if (!word || (dot && word + 1 == len))
			return err_usage(err, "an empty name in the field path '%.*s'", (int)len,
					 path);
		if (at && !at->children)
			whole = true;
		if (!at) {
			at = arena_alloc(arena, sizeof(*at));
			if (!at)
				return err_nomem(err);
			*at = (struct field_choice){ .name = path, .len = word, .next = *list };
			*list = at;
		}
		if (!dot) {
			at->children = NULL;
			return 0;
		}
		if (whole)
			return 0;
		list = &at->children;
		path += word + 1;
		len -= word + 1;
	}
	return err_usage(err, "an empty field path");
}

int field_choice_parse(struct arena *arena, const char *text, struct field_choice **ret,
		       struct err *err)
{
	struct field_choice *list = NULL;

	for (;;) {
		size_t len = strcspn(text, ",");
		int r = add_path(arena, &list, text, len, err);

		if (r < 0)
			return r;
		if (!text[len])
			break;
		text += len + 1;
	}
	*ret = list;
	return 0;
}

bool field_choice_fits(const struct field_choice *list, const ProtobufCMessageDescriptor *desc,
		       const struct field_choice **ret_missing)
{
	for (; list; list = list->next) {
		const ProtobufCFieldDescriptor *f = NULL;

		*ret_missing = list;
		for (unsigned int i = 0; i < desc->n_fields && !f; i++)
			if (strlen(desc->fields[i].name) == list->len &&
			    memcmp(desc->fields[i].name, list->name, list->len) == 0)
				f = &desc->fields[i];
		if (!f || (list->children && f->type != PROTOBUF_C_TYPE_MESSAGE))
			return false;
		if (list->children &&
		    !field_choice_fits(list->children, f->descriptor, ret_missing))
			return false;
	}
	return true;
}
