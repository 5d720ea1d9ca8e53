/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that plugins save and make again. */
#pragma once

#include "engine/core/dump.h"
#include "engine/files/kind.h"

/* Asks the plugins about a file that no kind claims. *ret_error is negative if one failed. */
bool external_is_taken(struct dump *d, const struct file_ref *ref, int *ret_error, struct err *err);

/* What create() returns when a plugin wants to be asked again, after other files were made. */
enum { FILES_LATER = -ERESTART };
