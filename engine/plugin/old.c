/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plugins of version 0.1.0, which have no descriptor: a symbol a hook. */
#include <dlfcn.h>
#include <string.h>

#include "engine/plugin/plugin-priv.h"

static const struct {
	int hook;
	const char *symbol;
} symbols[] = {
	{ CR_PLUGIN_HOOK__DUMP_UNIX_SK, "cr_plugin_dump_unix_sk" },
	{ CR_PLUGIN_HOOK__RESTORE_UNIX_SK, "cr_plugin_restore_unix_sk" },
	{ CR_PLUGIN_HOOK__DUMP_EXT_FILE, "cr_plugin_dump_file" },
	{ CR_PLUGIN_HOOK__RESTORE_EXT_FILE, "cr_plugin_restore_file" },
	{ CR_PLUGIN_HOOK__DUMP_EXT_MOUNT, "cr_plugin_dump_ext_mount" },
	{ CR_PLUGIN_HOOK__RESTORE_EXT_MOUNT, "cr_plugin_restore_ext_mount" },
	{ CR_PLUGIN_HOOK__DUMP_EXT_LINK, "cr_plugin_dump_ext_link" },
	{ CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA, "cr_plugin_handle_device_vma" },
	{ CR_PLUGIN_HOOK__UPDATE_VMA_MAP, "cr_plugin_update_vma_map" },
	{ CR_PLUGIN_HOOK__RESUME_DEVICES_LATE, "cr_plugin_resume_devices_late" },
	{ CR_PLUGIN_HOOK__PAUSE_DEVICES, "cr_plugin_pause_devices" },
	{ CR_PLUGIN_HOOK__CHECKPOINT_DEVICES, "cr_plugin_checkpoint_devices" },
	{ CR_PLUGIN_HOOK__POST_FORKING, "cr_plugin_post_forking" },
	{ CR_PLUGIN_HOOK__RESTORE_INIT, "cr_plugin_restore_init" },
	{ CR_PLUGIN_HOOK__DUMP_DEVICES_LATE, "cr_plugin_dump_devices_late" },
};

/* Its name is that of its file: what the images call it must not depend on the folder. */
void plugin_describe_old(struct plugin *plugin)
{
	const char *slash = strrchr(plugin->path, '/');
	cr_plugin_desc_t *d = &plugin->old;

	d->name = slash ? slash + 1 : plugin->path;
	d->version = CRIU_PLUGIN_VERSION_OLD;
	d->max_hooks = CR_PLUGIN_HOOK__MAX;
	d->init = (int (*)(int))dlsym(plugin->handle, "cr_plugin_init");
	d->exit = (void (*)(int, int))dlsym(plugin->handle, "cr_plugin_fini");
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		d->hooks[symbols[i].hook] = dlsym(plugin->handle, symbols[i].symbol);
	plugin->desc = d;
}
