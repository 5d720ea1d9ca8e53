/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.json, and every plan that can be made of it, must not crash, hang or leak. */
#include "oci/plan.h"

#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct oci_hierarchy hierarchies[] = { { "freezer", "/sys/fs/cgroup/freezer", "/x" },
						    { "", "/sys/fs/cgroup/unified", "/x" } };
static const struct oci_path_fact masked[] = { { "/proc/kcore", "/k", OCI_PATH_FILE },
					       { "/proc/acpi", NULL, OCI_PATH_DIR } };
static const struct oci_ns_fact namespaces[] = { { "/n", 1 } };
static const char *const mountpoints[] = { "/", "/a", "/a/b", "/proc", "/sys/fs/cgroup" };
static const char *const streams[] = { "pipe:[1]", "/f", "pipe:[1]" };

static void plan(const struct oci_spec *spec, const struct oci_choices *choices, bool mounts)
{
	struct oci_state state = { .id = "x",
				   .pid = 1,
				   .bundle = "/b",
				   .cgroup_path = "/x",
				   .runtime = mounts ? OCI_CRUN : OCI_RUNC };
	struct oci_facts facts = { .cgroup_layout = OCI_CGROUP_HYBRID,
				   .hierarchies = { hierarchies, COUNT(hierarchies) },
				   .masked = { masked, COUNT(masked) },
				   .namespaces = { namespaces, COUNT(namespaces) },
				   .descriptors = { streams, COUNT(streams) } };
	cleanup_oci_plan struct oci_plan p = { 0 };
	cleanup_buf struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	if (mounts)
		facts.mountpoints = (struct ckpt_strings){ mountpoints, COUNT(mountpoints) };
	if (oci_plan_make(&p, spec, &state, choices, &facts, &err) < 0)
		return;
	if (oci_plan_print(&p, mounts, &out, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_oci_spec struct oci_spec spec = { 0 };
	struct oci_choices choices = { 0 };
	struct err err = ERR_INIT;

	if (oci_spec_parse(&spec, "config.json", (const char *)data, size, &err) < 0)
		return err.text[0] && !spec.arena.blocks ? 0 : (abort(), 0);
	for (int d = OCI_DUMP; d <= OCI_RESTORE; d++) {
		choices.direction = (enum oci_direction)d;
		plan(&spec, &choices, false);
		plan(&spec, &choices, true);
	}
	return 0;
}
