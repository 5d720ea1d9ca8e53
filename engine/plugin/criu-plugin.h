/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a plugin includes. A plugin is a shared object that saves and restores what the engine does
 * not know: files, sockets, mounts and memory of devices or of programs outside. It has the ABI of
 * CRIU 4.2's plugins (version 0.2.0).
 *
 *	CR_PLUGIN_REGISTER("mine", mine_init, mine_exit)	(or
 *CR_PLUGIN_REGISTER_DUMMY("mine")) CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_FILE,
 *mine_dump_file)
 *
 * Every file NAME.so of the plugin folder is loaded at the beginning of an operation. Hooks return
 * 0 (or what is said below) when they have done the work, -ENOTSUP when the object is not theirs:
 * then the next plugin is asked; any other negative value ends the operation.
 */
#ifndef CRIU_PLUGIN_H
#define CRIU_PLUGIN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define CRIU_PLUGIN_GEN_VERSION(major, minor, sublevel) \
	(((major) << 16) + ((minor) << 8) + (sublevel))
#define CRIU_PLUGIN_VERSION_MAJOR 0
#define CRIU_PLUGIN_VERSION_MINOR 2
#define CRIU_PLUGIN_VERSION_SUBLEVEL 0
#define CRIU_PLUGIN_VERSION                                                           \
	CRIU_PLUGIN_GEN_VERSION(CRIU_PLUGIN_VERSION_MAJOR, CRIU_PLUGIN_VERSION_MINOR, \
				CRIU_PLUGIN_VERSION_SUBLEVEL)

/* Plugins of that time have no descriptor but functions of fixed names; see the end. */
#define CRIU_PLUGIN_VERSION_OLD CRIU_PLUGIN_GEN_VERSION(0, 1, 0)

enum {
	CR_PLUGIN_HOOK__DUMP_UNIX_SK = 0,
	CR_PLUGIN_HOOK__RESTORE_UNIX_SK = 1,
	CR_PLUGIN_HOOK__DUMP_EXT_FILE = 2,
	CR_PLUGIN_HOOK__RESTORE_EXT_FILE = 3,
	CR_PLUGIN_HOOK__DUMP_EXT_MOUNT = 4,
	CR_PLUGIN_HOOK__RESTORE_EXT_MOUNT = 5,
	CR_PLUGIN_HOOK__DUMP_EXT_LINK = 6,
	CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA = 7,
	CR_PLUGIN_HOOK__UPDATE_VMA_MAP = 8,
	CR_PLUGIN_HOOK__RESUME_DEVICES_LATE = 9,
	CR_PLUGIN_HOOK__PAUSE_DEVICES = 10,
	CR_PLUGIN_HOOK__CHECKPOINT_DEVICES = 11,
	CR_PLUGIN_HOOK__POST_FORKING = 12,
	CR_PLUGIN_HOOK__RESTORE_INIT = 13,
	CR_PLUGIN_HOOK__DUMP_DEVICES_LATE = 14,
	CR_PLUGIN_HOOK__MAX
};

/* The type of a hook's function is the hook's name with _t. */
#define DECLARE_PLUGIN_HOOK_ARGS(hook, ...) typedef int(hook##_t)(__VA_ARGS__)

/*
 * A unix socket whose other end is outside of the tree. fd: a duplicate of it; id: its inode
 * number, by which the restore asks for it. The restore returns a descriptor, which then is ours.
 */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__DUMP_UNIX_SK, int fd, int id);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__RESTORE_UNIX_SK, int id);

/*
 * A file of a kind that nobody knows. fd: a duplicate; id: that of the file in the images. The
 * restore returns a descriptor, which then is ours, or sets *retry_needed: it will be asked again.
 */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__DUMP_EXT_FILE, int fd, int id);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__RESTORE_EXT_FILE, int id, bool *retry_needed);

/*
 * A bind mount of something that the tree does not show. mountpoint: on dump the place inside, with
 * a dot in front ("./data"); on restore where the hook has to mount it, for which it makes a file
 * or a directory itself. old_root: where the host's files are. *is_file: it made a file (may be
 * NULL).
 */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__DUMP_EXT_MOUNT, char *mountpoint, int id);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__RESTORE_EXT_MOUNT, int id, char *mountpoint,
			 char *old_root, int *is_file);

/*
 * A network device inside that nobody knows. kind: of rtnetlink ("macvlan"). There is no hook for
 * the restore: at "setup-namespaces" an action script moves the device in.
 */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__DUMP_EXT_LINK, int index, int type, char *kind);

/*
 * A mapping of a device. On restore the hook is asked before it is mapped again: 1 means that
 * *new_pgoff (bytes) is to be used in place of old_pgoff, and *plugin_fd, if it is not negative, in
 * place of a file opened by path.
 */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA, int fd, const struct stat *stat);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__UPDATE_VMA_MAP, const char *path, const uint64_t addr,
			 const uint64_t old_pgoff, uint64_t *new_pgoff, int *plugin_fd);

/* Dump: before a process is stopped; when all are; when everything of all of them is saved. */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__PAUSE_DEVICES, int pid);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__CHECKPOINT_DEVICES, int pid);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__DUMP_DEVICES_LATE, int id);

/* Restore: plugins are loaded; all processes exist; a process is about to run. */
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__RESTORE_INIT, void);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__POST_FORKING, void);
DECLARE_PLUGIN_HOOK_ARGS(CR_PLUGIN_HOOK__RESUME_DEVICES_LATE, int pid);

/* What an operation is, for init and exit. */
enum {
	CR_PLUGIN_STAGE__DUMP,
	CR_PLUGIN_STAGE__PRE_DUMP,
	CR_PLUGIN_STAGE__RESTORE,
	CR_PLUGIN_STAGE_MAX
};

/* init: 0, or the operation fails. exit: ret is 0 if the operation succeeded. Both may be NULL. */
typedef struct {
	const char *name;
	int (*init)(int stage);
	void (*exit)(int stage, int ret);
	unsigned int version;
	unsigned int max_hooks;
	void *hooks[CR_PLUGIN_HOOK__MAX];
} cr_plugin_desc_t;

extern cr_plugin_desc_t CR_PLUGIN_DESC;

#define CR_PLUGIN_REGISTER(plugin_name, plugin_init, plugin_exit) \
	cr_plugin_desc_t CR_PLUGIN_DESC = {                       \
		.name = plugin_name,                              \
		.init = plugin_init,                              \
		.exit = plugin_exit,                              \
		.version = CRIU_PLUGIN_VERSION,                   \
		.max_hooks = CR_PLUGIN_HOOK__MAX,                 \
	};

static inline int cr_plugin_dummy_init(int stage)
{
	(void)stage;
	return 0;
}

static inline void cr_plugin_dummy_exit(int stage, int ret)
{
	(void)stage;
	(void)ret;
}

#define CR_PLUGIN_REGISTER_DUMMY(plugin_name) \
	CR_PLUGIN_REGISTER(plugin_name, cr_plugin_dummy_init, cr_plugin_dummy_exit)

#define CR_PLUGIN_REGISTER_HOOK(hook, function)                                           \
	static void __attribute__((constructor)) cr_plugin_register_hook_##function(void) \
	{                                                                                 \
		CR_PLUGIN_DESC.hooks[hook] = (void *)function;                            \
	}

/* ---- what the engine offers to plugins ---- */

/* The folder of the images, not to be closed. Files of a plugin's own are made there. */
extern int criu_get_image_dir(void);

/*
 * Dump: the plugin has to be there at the restore as well. 0 or -1. (The engine notes by itself
 * which plugins have taken an object.) Restore: whether the first n characters of name begin the
 * name of a plugin that the dump noted, or the images are too old to tell.
 */
extern int add_inventory_plugin(const char *name);
extern bool check_and_remove_inventory_plugin(const char *name, size_t n);

/* A line of the log. level: 0 always, 1 errors, 2 warnings, 3 what is done, 4 everything. */
extern void print_on_level(unsigned int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- plugins of version 0.1.0: functions of these names, as far as the plugin has them ---- */

typedef int(cr_plugin_init_t)(void);
typedef void(cr_plugin_fini_t)(void);
typedef int(cr_plugin_dump_unix_sk_t)(int fd, int id);
typedef int(cr_plugin_restore_unix_sk_t)(int id);
typedef int(cr_plugin_dump_file_t)(int fd, int id);
typedef int(cr_plugin_restore_file_t)(int id);
typedef int(cr_plugin_dump_ext_mount_t)(char *mountpoint, int id);
typedef int(cr_plugin_restore_ext_mount_t)(int id, char *mountpoint, char *old_root, int *is_file);
typedef int(cr_plugin_dump_ext_link_t)(int index, int type, char *kind);
typedef int(cr_plugin_handle_device_vma_t)(int fd, const struct stat *stat);
typedef int(cr_plugin_update_vma_map_t)(const char *path, const uint64_t addr,
					const uint64_t old_pgoff, uint64_t *new_pgoff,
					int *plugin_fd);
typedef int(cr_plugin_resume_devices_late_t)(int pid);
typedef int(cr_plugin_post_forking_t)(void);

#endif
