/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the memory workloads that `full` uses too; each takes about bytes of memory. See
 * memory.c. */
#pragma once

#include "tests/workloads/workload.h"

int memory_setup(size_t bytes);
int memory_verify(void);

int shared_memory_setup(size_t bytes);
int shared_memory_verify(void);

int file_mapping_setup(size_t bytes);
int file_mapping_verify(void);

/* The heap below brk(2). */
int heap_setup(void);
int heap_verify(void);

/* The value of a field of the mapping that holds the address, out of /proc/self/smaps; -1 if none.
 */
long smaps_field(const void *address, const char *field);
/* The "rw-p" of the mapping that holds the address, "" if none, and whether flag is in its VmFlags.
 */
bool smaps_flag(const void *address, const char *flag);
const char *maps_perms(const void *address);
