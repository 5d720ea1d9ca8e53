/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The moments of a dump and a restore at which plugins are asked about whole tasks. */
#include "engine/plugins.h"

#include "engine/plugin/plugin.h"
#include "proto/inventory.pb-c.h"

int dump_load_plugins(struct dump *d, struct err *err)
{
	const struct plugins_args args = { .libdir = d->opts->plugin_dir,
					   .stage = PLUGIN_STAGE_DUMP,
					   .images_fd = d->images_fd,
					   .log = d->log };

	return plugins_load(&args, &d->plugins, err);
}

void dump_unload_plugins(struct dump *d, bool failed)
{
	plugins_unload(d->plugins, failed ? -ECANCELED : 0);
	d->plugins = NULL;
}

int dump_checkpoint_devices(struct dump *d, struct err *err)
{
	struct dump_task **t;
	int r = 0;

	vec_foreach (t, &d->tasks)
		if (r == 0 && (*t)->state != TASK_DEAD)
			r = plugin_optional(err, plugins_checkpoint_devices(d->plugins, (*t)->pid),
					    "CHECKPOINT_DEVICES");
	return r;
}

int dump_devices_late(struct dump *d, struct err *err)
{
	return plugin_optional(err, plugins_dump_devices_late(d->plugins, d->opts->pid),
			       "DUMP_DEVICES_LATE");
}

static PluginsEntry *entry(struct dump *d, struct plugin_names names)
{
	PluginsEntry *e = arena_alloc(&d->arena, sizeof(*e));

	if (!e)
		return NULL;
	plugins_entry__init(e);
	e->plugins = (char **)names.v;
	e->n_plugins = names.n;
	return e;
}

/* CRIU refuses images if a plugin of the first list does not ask for itself, so it has only those
 * that do. */
int dump_note_plugins(struct dump *d, InventoryEntry *e)
{
	struct plugin_names used = plugins_used(d->plugins);

	e->plugins_entry = entry(d, plugins_asked(d->plugins));
	if (used.n)
		e->used_plugins = entry(d, used);
	return e->plugins_entry && (!used.n || e->used_plugins) ? 0 : -ENOMEM;
}

static struct plugin_names names_of(const PluginsEntry *e)
{
	return e ? (struct plugin_names){ (const char *const *)e->plugins, e->n_plugins }
		 : (struct plugin_names){ 0 };
}

int restore_load_plugins(struct restore *r, const InventoryEntry *e, struct err *err)
{
	const struct plugins_args args = { .libdir = r->opts->plugin_dir,
					   .stage = PLUGIN_STAGE_RESTORE,
					   .images_fd = r->images_fd,
					   .log = r->log,
					   .any = !e->plugins_entry,
					   .asked = names_of(e->plugins_entry),
					   .used = names_of(e->used_plugins) };

	return plugins_load(&args, &r->plugins, err);
}

void restore_resume_devices(struct restore *r)
{
	struct restore_task **t;
	struct err err = ERR_INIT;

	vec_foreach (t, &r->tasks)
		if (!(*t)->dead &&
		    plugin_optional(&err, plugins_resume_devices_late(r->plugins, (*t)->pid),
				    "RESUME_DEVICES_LATE") < 0)
			log_warn(r->log, "%s, ignoring: the tree goes on", err.text);
}
