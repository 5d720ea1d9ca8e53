/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this folder share. */
#pragma once

#include "engine/base/vec.h"
#include "engine/plugin/criu-plugin.h"
#include "engine/plugin/plugin.h"

struct plugin {
	void *handle; /* of dlopen() */
	cr_plugin_desc_t *desc;
	cr_plugin_desc_t old; /* of a plugin that has none of its own: desc points here */
	char *path;
	bool begun; /* its init succeeded: its exit is to be called */
};

struct plugins {
	enum plugin_stage stage;
	int images_fd;
	const struct log *log;
	bool any;
	VEC(struct plugin *) list;
	VEC(char *) asked, used; /* names; on a restore those that are not there yet */
};

/* Adds a name once. 0 or -ENOMEM. */
int plugins_note_used(struct plugins *p, const char *name);

/* Fills the descriptor of a plugin without one from the functions that it has. */
void plugin_describe_old(struct plugin *plugin);

/* The set that exported functions of the API work on; NULL: none. */
void plugin_api_use(struct plugins *p);
