/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a fuzz target defines. libFuzzer calls it, and so does replay.c for the files of the corpus.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The name is libFuzzer's. Always 0; a defect shows as a crash, a failed assertion or a sanitizer
 * report. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
