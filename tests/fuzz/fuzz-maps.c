/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps and smaps */
#include <assert.h>
#include <string.h>

#include "engine/base/proctext-maps.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_vmas m;
	struct proc_vma *vma;

	if (proc_vmas_parse((const char *)data, size, &m) < 0)
		return 0;
	vec_foreach (vma, &m) {
		assert(vma->start < vma->end);
		assert(strlen(vma->path) <= size);
	}
	proc_vmas_done(&m);
	return 0;
}
