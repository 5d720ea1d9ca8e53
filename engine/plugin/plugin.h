/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins as the engine sees them: loaded at the beginning of an operation, asked by the kinds,
 * told the result at its end. Functions take NULL for "there are none".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "engine/base/err.h"
#include "engine/base/log.h"

struct plugins;

/* The numbers of criu-plugin.h. */
enum plugin_stage { PLUGIN_STAGE_DUMP, PLUGIN_STAGE_PRE_DUMP, PLUGIN_STAGE_RESTORE };

/* Names that the images ask for. */
struct plugin_names {
	const char *const *v;
	size_t n;
};

struct plugins_args {
	const char *libdir; /* NULL: $CRIU_LIBS_DIR, or the folder of the installation */
	enum plugin_stage stage;
	int images_fd;		   /* borrowed */
	const struct log *log;	   /* borrowed */
	bool any;		   /* restore: the images do not tell which plugins they need */
	struct plugin_names asked; /* restore: noted by the plugins themselves */
	struct plugin_names used;  /* restore: noted by us */
};

/*
 * Loads every NAME.so of the folder in the order of their names and calls their init. On a restore
 * it fails, naming them all, if plugins that the images need are not there. One set of plugins at a
 * time in a process: their ABI has no context. plugins_unload() in either case.
 */
int plugins_load(const struct plugins_args *args, struct plugins **ret, struct err *err)
	__attribute__((warn_unused_result));

/* Tells each plugin the result (0 or negative) and unloads it. NULL allowed. */
void plugins_unload(struct plugins *p, int result);

/* Whether there is any plugin at all. */
bool plugins_any(const struct plugins *p);

/* Dump, at its end: the names for the inventory. They live as long as p. */
struct plugin_names plugins_asked(const struct plugins *p);
struct plugin_names plugins_used(const struct plugins *p);

/*
 * The hooks. -ENOTSUP: no plugin takes it. Other negative values are a plugin's failure, told with
 * plugin_failed(). See criu-plugin.h for what they mean.
 */
int plugins_dump_unix_sk(struct plugins *p, int fd, uint32_t ino);
int plugins_restore_unix_sk(struct plugins *p, uint32_t ino);
int plugins_dump_ext_file(struct plugins *p, int fd, uint32_t id);
int plugins_restore_ext_file(struct plugins *p, uint32_t id, bool *ret_retry);
int plugins_dump_ext_mount(struct plugins *p, const char *mountpoint, int id);
int plugins_restore_ext_mount(struct plugins *p, int id, const char *mountpoint,
			      const char *old_root);
int plugins_dump_ext_link(struct plugins *p, int index, int type, const char *kind);
int plugins_handle_device_vma(struct plugins *p, int fd, const struct stat *st);
int plugins_update_vma_map(struct plugins *p, const char *path, uint64_t addr, uint64_t old_pgoff,
			   uint64_t *ret_pgoff, int *ret_fd);
int plugins_pause_devices(struct plugins *p, pid_t pid);
int plugins_checkpoint_devices(struct plugins *p, pid_t pid);
int plugins_dump_devices_late(struct plugins *p, pid_t pid);
int plugins_post_forking(struct plugins *p);
int plugins_resume_devices_late(struct plugins *p, pid_t pid);

/* For load(): fails if there is no plugin at all that could make what one has saved. */
int plugins_wanted(const struct plugins *p, struct err *err) __attribute__((warn_unused_result));

/* Fills err for a failed hook; returns r. */
int plugin_failed(struct err *err, int r, const char *hook);

/* For a hook that need not be anybody's: 0 for -ENOTSUP and success, else the failure. */
int plugin_optional(struct err *err, int r, const char *hook);
