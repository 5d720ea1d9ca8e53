/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processor as images describe it. For cpu.c and its tests. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"

/* Words of features: the kernel's own order of some years ago, which is the format now. Images of
 * capability_ver 1 have the first twelve. */
enum { CPU_WORDS = 19, CPU_WORDS_V1 = 12 };

enum cpu_vendor { CPU_INTEL = 1, CPU_AMD = 2 };

struct cpu {
	enum cpu_vendor vendor;
	uint32_t family, model, stepping;
	uint32_t words[CPU_WORDS];
	char name[49];
	uint64_t xfeatures; /* components of the extended state */
	uint32_t xsave_size, xsave_size_max;
};

/* Asks this processor. 0, or -ENOTSUP for a vendor that the format has no number for. */
int cpu_read(struct cpu *ret);

/* Whether what ran on image can run here, as far as caps (ARCH_CPU_*) ask. */
int cpu_compare(const struct cpu *image, const struct cpu *here, unsigned int caps,
		struct err *err);
