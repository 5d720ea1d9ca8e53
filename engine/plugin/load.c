/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding, loading and unloading plugins. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/plugin/plugin-priv.h"

static int has_suffix(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return len > 3 && strcmp(e->d_name + len - 3, ".so") == 0;
}

static int check_descriptor(const struct plugin *plugin, struct err *err)
{
	const cr_plugin_desc_t *d = plugin->desc;

	if (!d->name || !*d->name)
		return err_refuse(err, "plugin '%s' has no name", plugin->path);
	if (d->version > CRIU_PLUGIN_VERSION)
		return err_refuse(err,
				  "plugin '%s' is of version %u.%u.%u of the interface, and "
				  "%d.%d.%d is the newest that is known",
				  plugin->path, d->version >> 16, d->version >> 8 & 255,
				  d->version & 255, CRIU_PLUGIN_VERSION_MAJOR,
				  CRIU_PLUGIN_VERSION_MINOR, CRIU_PLUGIN_VERSION_SUBLEVEL);
	if (d->max_hooks > CR_PLUGIN_HOOK__MAX)
		return err_refuse(err, "plugin '%s' has %u hooks, and %d are known", plugin->path,
				  d->max_hooks, CR_PLUGIN_HOOK__MAX);
	return 0;
}

/* All its symbols are bound now: one that is missing would end us in the middle of an operation. */
static int open_plugin(struct plugin *plugin, const struct log *log, struct err *err)
{
	const char *why;

	plugin->handle = dlopen(plugin->path, RTLD_NOW | RTLD_LOCAL);
	if (!plugin->handle) {
		why = dlerror();
		err_new(err, ERR_ENVIRONMENT, -ENOEXEC, "loading plugin '%s': %s", plugin->path,
			why ? why : "it is not valid");
		err_hint(err, "what plugins may use of the engine is in criu-plugin.h");
		return err->code;
	}
	plugin->desc = dlsym(plugin->handle, "CR_PLUGIN_DESC");
	if (!plugin->desc) {
		plugin_describe_old(plugin);
		log_warn(log, "plugin '%s' has no descriptor, taking its functions by name",
			 plugin->path);
	}
	return check_descriptor(plugin, err);
}

static int begin(struct plugin *plugin, enum plugin_stage stage, struct err *err)
{
	const cr_plugin_desc_t *d = plugin->desc;
	int r = 0;

	if (d->init)
		r = d->version == CRIU_PLUGIN_VERSION_OLD ? ((cr_plugin_init_t *)(void *)d->init)()
							  : d->init((int)stage);
	if (r != 0)
		return err_new(err, ERR_ENVIRONMENT, r < 0 ? r : -EIO,
			       "plugin '%s' cannot start (it says %d)", d->name, r);
	plugin->begun = true;
	return 0;
}

static int load_one(struct plugins *p, const char *dir, const char *name, struct err *err)
{
	struct plugin *plugin = calloc(1, sizeof(*plugin)), **slot;
	int r;

	slot = plugin ? vec_add(&p->list) : NULL;
	if (!slot) {
		free(plugin);
		return err_nomem(err);
	}
	*slot = plugin;
	if (asprintf(&plugin->path, "%s/%s", dir, name) < 0) {
		plugin->path = NULL;
		return err_nomem(err);
	}
	r = open_plugin(plugin, p->log, err);
	if (r == 0)
		r = begin(plugin, p->stage, err);
	if (r == 0)
		log_info(p->log, "plugin '%s' is loaded from '%s'", plugin->desc->name,
			 plugin->path);
	return r;
}

/* A folder that somebody names must be there; that of the installation need not. */
static int load_folder(struct plugins *p, const char *named, struct err *err)
{
	const char *dir = named ? named : PLUGIN_DIR;
	struct dirent **list = NULL;
	int n = scandir(dir, &list, has_suffix, alphasort), r = 0;

	if (n < 0 && errno == ENOENT && !named)
		return 0;
	if (n < 0)
		return err_sys(err, -errno, "reading the plugin folder '%s'", dir);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = load_one(p, dir, list[i]->d_name, err);
		free(list[i]);
	}
	free(list);
	return r;
}

static int note(struct plugins *p, bool asked, const char *name)
{
	__typeof__(p->used) *list = asked ? (void *)&p->asked : &p->used;
	char **it;

	vec_foreach (it, list)
		if (strcmp(*it, name) == 0)
			return 0;
	it = vec_add(list);
	if (!it)
		return -ENOMEM;
	*it = strdup(name);
	if (*it)
		return 0;
	list->n--;
	return -ENOMEM;
}

int plugins_note_used(struct plugins *p, const char *name)
{
	return note(p, false, name);
}

static bool is_loaded(const struct plugins *p, const char *name)
{
	struct plugin *const *it;

	vec_foreach (it, &p->list)
		if ((*it)->desc && strcmp((*it)->desc->name, name) == 0)
			return true;
	return false;
}

/* What a plugin has taken off the list by itself is there as well. */
static int check_needed(const struct plugins *p, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	char *const *name;

	vec_foreach (name, &p->asked)
		if (!is_loaded(p, *name))
			buf_printf(&text, "%s'%s'", text.len ? ", " : "", *name);
	vec_foreach (name, &p->used)
		if (!is_loaded(p, *name) && !(text.data && strstr(text.data, *name)))
			buf_printf(&text, "%s'%s'", text.len ? ", " : "", *name);
	if (!text.len)
		return 0;
	err_new(err, ERR_ENVIRONMENT, -ENOENT, "the images need plugins that are not there: %s",
		text.data);
	err_hint(err, "name the folder that they are in with --libdir");
	return err->code;
}

static int take_names(struct plugins *p, const struct plugins_args *args)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < args->asked.n; i++)
		r = note(p, true, args->asked.v[i]);
	for (size_t i = 0; r == 0 && i < args->used.n; i++)
		r = note(p, false, args->used.v[i]);
	return r;
}

static int restore_init(struct plugins *p, struct err *err)
{
	struct plugin **it;
	int r = check_needed(p, err);

	vec_foreach (it, &p->list) {
		CR_PLUGIN_HOOK__RESTORE_INIT_t *hook =
			(*it)->desc->hooks[CR_PLUGIN_HOOK__RESTORE_INIT];

		if (r < 0 || (*it)->desc->max_hooks <= CR_PLUGIN_HOOK__RESTORE_INIT || !hook)
			continue;
		r = plugin_optional(err, hook(), "RESTORE_INIT");
	}
	return r;
}

int plugins_load(const struct plugins_args *args, struct plugins **ret, struct err *err)
{
	const char *env = getenv("CRIU_LIBS_DIR");
	struct plugins *p = calloc(1, sizeof(*p));
	int r;

	*ret = p;
	if (!p)
		return err_nomem(err);
	p->stage = args->stage;
	p->images_fd = args->images_fd;
	p->log = args->log;
	p->any = args->any;
	plugin_api_use(p);
	r = take_names(p, args) < 0 ? err_nomem(err) : 0;
	if (r == 0)
		r = load_folder(p, args->libdir ? args->libdir : env && *env ? env : NULL, err);
	if (r == 0 && p->stage == PLUGIN_STAGE_RESTORE)
		r = restore_init(p, err);
	return r;
}

static void end(struct plugin *plugin, enum plugin_stage stage, int result)
{
	const cr_plugin_desc_t *d = plugin->desc;

	if (plugin->begun && d->exit && d->version == CRIU_PLUGIN_VERSION_OLD)
		((cr_plugin_fini_t *)(void *)d->exit)();
	else if (plugin->begun && d->exit)
		d->exit((int)stage, result);
	if (plugin->handle)
		dlclose(plugin->handle);
	free(plugin->path);
	free(plugin);
}

static void free_names(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
}

void plugins_unload(struct plugins *p, int result)
{
	struct plugin **it;

	if (!p)
		return;
	vec_foreach (it, &p->list)
		end(*it, p->stage, result < 0 ? result : 0);
	plugin_api_use(NULL);
	vec_free(&p->list);
	free_names(p->asked.v, p->asked.n);
	free_names(p->used.v, p->used.n);
	vec_free(&p->asked);
	vec_free(&p->used);
	free(p);
}

bool plugins_any(const struct plugins *p)
{
	return p && p->list.n;
}

struct plugin_names plugins_asked(const struct plugins *p)
{
	return p ? (struct plugin_names){ (const char *const *)p->asked.v, p->asked.n }
		 : (struct plugin_names){ 0 };
}

struct plugin_names plugins_used(const struct plugins *p)
{
	return p ? (struct plugin_names){ (const char *const *)p->used.v, p->used.n }
		 : (struct plugin_names){ 0 };
}
