/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking the plugins, one after the other, until one takes the object. */
#include <fcntl.h>
#include <unistd.h>

#include "engine/plugin/plugin-priv.h"

/* The function of a hook, or NULL: an older plugin's table is shorter. */
static void *hook_of(const struct plugin *plugin, int hook)
{
	return (unsigned int)hook < plugin->desc->max_hooks ? plugin->desc->hooks[hook] : NULL;
}

/*
 * On a dump, a plugin that has taken an object which the restore has to ask it for is noted. No
 * memory for the note is a failure: without it the restore would not know what it lacks.
 */
static int note_taken(struct plugins *p, const struct plugin *plugin, int hook, int r)
{
	if (r < 0 ||
	    (hook != CR_PLUGIN_HOOK__DUMP_UNIX_SK && hook != CR_PLUGIN_HOOK__DUMP_EXT_FILE &&
	     hook != CR_PLUGIN_HOOK__DUMP_EXT_MOUNT && hook != CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA))
		return r;
	return plugins_note_used(p, plugin->desc->name) < 0 ? -ENOMEM : r;
}

#define ASK(p, hook_name, ...)                                                          \
	({                                                                              \
		const int _hook = CR_PLUGIN_HOOK__##hook_name;                          \
		int _r = -ENOTSUP;                                                      \
                                                                                        \
		for (size_t _i = 0; (p) && _i < (p)->list.n && _r == -ENOTSUP; _i++) {  \
			struct plugin *_plugin = (p)->list.v[_i];                       \
			CR_PLUGIN_HOOK__##hook_name##_t *_fn = hook_of(_plugin, _hook); \
                                                                                        \
			if (!_fn)                                                       \
				continue;                                               \
			_r = _fn(__VA_ARGS__);                                          \
			log_debug((p)->log, "plugin '%s': %s: %d", _plugin->desc->name, \
				  #hook_name, _r);                                      \
			_r = note_taken(p, _plugin, _hook, _r);                         \
		}                                                                       \
		_r;                                                                     \
	})

int plugins_dump_unix_sk(struct plugins *p, int fd, uint32_t ino)
{
	return ASK(p, DUMP_UNIX_SK, fd, (int)ino);
}

int plugins_restore_unix_sk(struct plugins *p, uint32_t ino)
{
	return ASK(p, RESTORE_UNIX_SK, (int)ino);
}

int plugins_dump_ext_file(struct plugins *p, int fd, uint32_t id)
{
	return ASK(p, DUMP_EXT_FILE, fd, (int)id);
}

int plugins_restore_ext_file(struct plugins *p, uint32_t id, bool *ret_retry)
{
	*ret_retry = false;
	return ASK(p, RESTORE_EXT_FILE, (int)id, ret_retry);
}

int plugins_dump_ext_mount(struct plugins *p, const char *mountpoint, int id)
{
	return ASK(p, DUMP_EXT_MOUNT, (char *)mountpoint, id);
}

int plugins_restore_ext_mount(struct plugins *p, int id, const char *mountpoint,
			      const char *old_root)
{
	int is_file = 0;

	return ASK(p, RESTORE_EXT_MOUNT, id, (char *)mountpoint, (char *)old_root, &is_file);
}

int plugins_dump_ext_link(struct plugins *p, int index, int type, const char *kind)
{
	return ASK(p, DUMP_EXT_LINK, index, type, (char *)kind);
}

int plugins_handle_device_vma(struct plugins *p, int fd, const struct stat *st)
{
	return ASK(p, HANDLE_DEVICE_VMA, fd, st);
}

int plugins_update_vma_map(struct plugins *p, const char *path, uint64_t addr, uint64_t old_pgoff,
			   uint64_t *ret_pgoff, int *ret_fd)
{
	*ret_pgoff = old_pgoff;
	*ret_fd = -1;
	return ASK(p, UPDATE_VMA_MAP, path, addr, old_pgoff, ret_pgoff, ret_fd);
}

int plugins_pause_devices(struct plugins *p, pid_t pid)
{
	return ASK(p, PAUSE_DEVICES, pid);
}

int plugins_checkpoint_devices(struct plugins *p, pid_t pid)
{
	return ASK(p, CHECKPOINT_DEVICES, pid);
}

int plugins_dump_devices_late(struct plugins *p, pid_t pid)
{
	return ASK(p, DUMP_DEVICES_LATE, pid);
}

int plugins_post_forking(struct plugins *p)
{
	return ASK(p, POST_FORKING);
}

int plugins_resume_devices_late(struct plugins *p, pid_t pid)
{
	return ASK(p, RESUME_DEVICES_LATE, pid);
}

int plugins_wanted(const struct plugins *p, struct err *err)
{
	if (plugins_any(p))
		return 0;
	err_new(err, ERR_ENVIRONMENT, -ENOENT, "a plugin has saved it, and there is none now");
	err_hint(err, "name the folder that it is in with --libdir");
	return err->code;
}

int plugin_failed(struct err *err, int r, const char *hook)
{
	err_new(err, ERR_ENVIRONMENT, r, "a plugin failed in its hook %s (%d)", hook, r);
	err_hint(err, "the log has what the plugin says about it");
	return r;
}

int plugin_optional(struct err *err, int r, const char *hook)
{
	return r >= 0 || r == -ENOTSUP ? 0 : plugin_failed(err, r, hook);
}
