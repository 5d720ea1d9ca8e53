/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/kind-state.h"

void *kind_state_get(struct arena *a, struct kind_state **head, const struct file_kind *kind,
		     size_t size)
{
	struct kind_state *s;

	for (s = *head; s; s = s->next)
		if (s->kind == kind)
			return s->data;
	s = arena_alloc(a, sizeof(*s));
	if (!s || !(s->data = arena_alloc(a, size)))
		return NULL;
	s->kind = kind;
	s->next = *head;
	*head = s;
	return s->data;
}
