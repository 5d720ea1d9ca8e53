/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every probe answers on every kernel, with and without privileges, and leaves nothing behind. */
#include <dirent.h>
#include <errno.h>
#include <sys/wait.h>

#include "engine/engine.h"
#include "engine/kernel/features.h"
#include "tests/lib/test.h"

static int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

TEST(probes_answer_and_leave_nothing)
{
	const struct kernel_feature *f;
	int before = open_files();

	for (f = kernel_features; f->name; f++) {
		int r = kernel_feature_probe(f);

		if (r > 0 || r < -4095)
			test_fail(__FILE__, __LINE__, "%s: %d is no errno", f->name, r);
		if (open_files() != before) {
			test_fail(__FILE__, __LINE__, "%s: left a descriptor open", f->name);
			before = open_files();
		}
		if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD)
			test_fail(__FILE__, __LINE__, "%s: left a child", f->name);
	}
}

TEST(answers_are_the_same_again)
{
	const struct kernel_feature *f;

	for (f = kernel_features; f->name; f++)
		if (kernel_feature_probe(f) != kernel_feature_probe(f))
			test_fail(__FILE__, __LINE__, "%s: two answers", f->name);
}

TEST(rows_are_complete)
{
	const struct kernel_feature *f, *g;

	for (f = kernel_features; f->name; f++) {
		check(f->probe && f->lost && f->lost[0]);
		check(!(f->required && f->later));
		for (g = kernel_features; g != f; g++)
			if (!strcmp(f->name, g->name))
				test_fail(__FILE__, __LINE__, "%s: stands there twice", f->name);
	}
}

/* The names that programs ask `criu check --feature` for. */
TEST(names_of_criu_are_known)
{
	static const char *const names[] = {
		"mnt_id",
		"mem_dirty_track",
		"aio_remap",
		"timerfd",
		"tun",
		"tun_ns",
		"userns",
		"fdinfo_lock",
		"seccomp_suspend",
		"seccomp_filters",
		"loginuid",
		"cgroupns",
		"autofs",
		"tcp_half_closed",
		"compat_cr",
		"uffd",
		"uffd-noncoop",
		"can_map_vdso",
		"sk_ns",
		"sk_unix_file",
		"net_diag_raw",
		"nsid",
		"link_nsid",
		"kcmp_epoll",
		"timens",
		"external_net_ns",
		"clone3_set_tid",
		"newifindex",
		"nftables",
		"has_ipt_legacy",
		"pidfd_store",
		"ns_pid",
		"apparmor_stacking",
		"network_lock_nftables",
		"sockopt_buf_lock",
		"memfd_hugetlb",
		"move_mount_set_group",
		"openat2",
		"get_rseq_conf",
		"ipv6_freebind",
		"pagemap_scan",
		"timer_cr_ids",
		"overlayfs_maps",
		"breakpoints",
		"pagemap_scan_guard_pages",
	};
	const struct kernel_feature *f;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (f = kernel_features; f->name && strcmp(f->name, names[i]) != 0; f++)
			;
		if (!f->name)
			test_fail(__FILE__, __LINE__, "'%s' is not known", names[i]);
	}
}

TEST(list_of_check)
{
	struct err err = ERR_INIT;
	struct ckpt_feature *list = NULL;
	size_t n = 0;

	check_int(ckpt_check(&list, &n, &err), 0);
	for (size_t i = 0; i < n; i++) {
		check_str(list[i].name, kernel_features[i].name);
		check_int(list[i].present, list[i].code == 0);
	}
	check(!kernel_features[n].name);
	free(list);
}

TEST_MAIN()
