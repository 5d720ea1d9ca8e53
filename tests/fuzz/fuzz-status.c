/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/status */
#include <assert.h>

#include "engine/base/proctext.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_status s;

	if (proc_status_parse((const char *)data, size, &s) < 0)
		return 0;
	assert(!s.n_groups || s.groups);
	assert(s.umask >= -1 && s.umask <= 0777);
	proc_status_done(&s);
	return 0;
}
