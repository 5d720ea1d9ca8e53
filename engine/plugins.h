/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dump.c and restore.c have to do with plugins. */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

struct InventoryEntry;

/* Loads the plugins; init of each is called. */
int dump_load_plugins(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* Tells them the result, while the tasks are still stopped. Does nothing the second time. */
void dump_unload_plugins(struct dump *d, bool failed);

/* The tree is stopped: devices of each task are to be saved. */
int dump_checkpoint_devices(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* Everything of all tasks is saved. */
int dump_devices_late(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* Fills the lists of plugins of the inventory; memory of the dump's arena. 0 or -ENOMEM. */
int dump_note_plugins(struct dump *d, struct InventoryEntry *e);

/* Loads the plugins and makes sure that those which the images need are there. */
int restore_load_plugins(struct restore *r, const struct InventoryEntry *e, struct err *err)
	__attribute__((warn_unused_result));

/* The tasks are complete and still stopped. Failures are logged: they run all the same. */
void restore_resume_devices(struct restore *r);
