/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpuinfo.img as a part of a dump and a restore (--cpu-cap). */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"

/* Adds the image if the options want it. */
int cpuinfo_write(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* Compares the image with this machine if the options want it. */
int cpuinfo_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));
