/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The runtimes' state files. What we read and may write again must be readable and say the same;
 * whatever the input, no root cgroup is ever written.
 */
#include "oci/state.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(cond)               \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static void crun(const char *text, size_t len)
{
	cleanup_oci_state struct oci_state st = { 0 }, again = { 0 };
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	if (oci_state_parse_crun(&st, "x", "status", text, len, &err) < 0) {
		must(err.text[0]);
		return;
	}
	if (oci_state_write_crun(&st, &out, &err) < 0)
		return;
	must(st.no_cgroup || oci_cgroup_is_own(st.cgroup_path));
	must(oci_state_parse_crun(&again, "x", "status", out.data, out.len, &err) == 0);
	must(again.pid == st.pid && again.start_time == st.start_time);
	must(!strcmp(again.cgroup_path, st.cgroup_path) && !strcmp(again.bundle, st.bundle));
	must(again.descriptors.n == st.descriptors.n);
}

static void runc(const char *text, size_t len)
{
	cleanup_oci_state struct oci_state st = { 0 }, again = { 0 };
	cleanup_buf struct buf out = BUF_INIT, second = BUF_INIT;
	struct err err = ERR_INIT;

	if (oci_state_parse_runc(&st, "state.json", text, len, &err) < 0) {
		must(err.text[0]);
		return;
	}
	if (oci_state_write_runc(&st, NULL, "state.json", text, len, &out, &err) < 0)
		return;
	must(oci_state_parse_runc(&again, "state.json", out.data, out.len, &err) == 0);
	must(again.pid == st.pid && !strcmp(again.id, st.id));
	must(again.cgroup_paths.n == st.cgroup_paths.n);
	must(oci_state_write_runc(&again, NULL, "state.json", out.data, out.len, &second, &err) ==
	     0);
	must(!strcmp(out.data, second.data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	crun((const char *)data, size);
	runc((const char *)data, size);
	return 0;
}
