/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The build ID that a linker has left in a program or library (--file-validation buildid). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { BUILD_ID_MAX = 64 };

/*
 * Finds the ID in the first bytes of a file (any bytes). Its length, or 0: this is no ELF file of
 * this byte order, it has no ID, or one that is longer than BUILD_ID_MAX.
 */
size_t build_id_parse(const void *data, size_t len, uint8_t ret[BUILD_ID_MAX]);

/* The same for an open file, also one that cannot be read through this descriptor. proc: of /proc.
 * -errno. */
int build_id_read(int proc, int fd, uint8_t ret[BUILD_ID_MAX]);
