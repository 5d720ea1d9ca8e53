/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions that plugins call by name: the programs export them. They have no argument that
 * tells which operation they belong to, so that one is kept here, the only variable of its kind.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plugin/plugin-priv.h"

#define EXPORTED __attribute__((visibility("default")))

static struct plugins *current;

void plugin_api_use(struct plugins *p)
{
	current = p;
}

EXPORTED int criu_get_image_dir(void)
{
	return current ? current->images_fd : -1;
}

EXPORTED int add_inventory_plugin(const char *name)
{
	char **slot;

	if (!current || !name)
		return -1;
	slot = vec_add(&current->asked);
	if (!slot)
		return -1;
	*slot = strdup(name);
	if (!*slot) {
		current->asked.n--;
		return -1;
	}
	return 0;
}

EXPORTED bool check_and_remove_inventory_plugin(const char *name, size_t n)
{
	if (!current || current->any)
		return current != NULL;
	for (size_t i = 0; i < current->asked.n; i++) {
		if (strncmp(name, current->asked.v[i], n) != 0)
			continue;
		free(current->asked.v[i]);
		current->asked.v[i] = current->asked.v[--current->asked.n];
		return true;
	}
	return false;
}

/* Plugins write the word for the level and the end of the line themselves. */
EXPORTED void print_on_level(unsigned int level, const char *format, ...)
{
	char text[1024];
	va_list ap;
	size_t n;

	if (!current || !current->log || (int)level > (int)current->log->level)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	n = strlen(text);
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	log_write(current->log, LOG_MSG, "", 0, "%s", text);
}
