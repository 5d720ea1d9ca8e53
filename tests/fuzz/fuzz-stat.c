/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/stat */
#include <assert.h>
#include <string.h>

#include "engine/base/proctext.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_stat s;

	if (proc_stat_parse((const char *)data, size, &s) == 0)
		assert(memchr(s.comm, '\0', sizeof(s.comm)));
	return 0;
}
