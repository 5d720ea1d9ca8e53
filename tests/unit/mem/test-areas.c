/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classification of areas from the text of smaps. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mem/areas.h"
#include "engine/mem/mem.h"
#include "tests/lib/test.h"

static enum area_kind kind_of(const char *perms, const char *path, const char *flags,
			      const char **ret_why)
{
	struct proc_vmas vmas = { 0 };
	enum area_kind kind;
	char text[512];

	snprintf(text, sizeof(text),
		 "7f0000000000-7f0000002000 %s 00000000 00:01 %d %s\nSize: 8 kB\nAnonymous: 4 kB\n"
		 "VmFlags: %s\n",
		 perms, path[0] == '/' ? 17 : 0, path, flags);
	check_int(proc_vmas_parse(text, strlen(text), &vmas), 0);
	check_int((int)vmas.n, 1);
	kind = area_classify(&vmas.v[0], ret_why);
	proc_vmas_done(&vmas);
	return kind;
}

TEST(kinds)
{
	const char *why;

	check_int(kind_of("rw-p", "", "rd wr mr mw me ac", &why), AREA_KIND_ANON);
	check_int(kind_of("rw-p", "[heap]", "rd wr", &why), AREA_KIND_ANON);
	check_int(kind_of("rw-p", "[stack]", "rd wr gd", &why), AREA_KIND_ANON);
	check_int(kind_of("rw-p", "[anon:name]", "rd wr", &why), AREA_KIND_ANON);
	check_int(kind_of("r-xp", "/usr/lib/libc.so.6", "rd ex", &why), AREA_KIND_FILE);
	check_int(kind_of("rw-s", "/memfd:x (deleted)", "rd wr sh", &why), AREA_KIND_FILE);
	check_int(kind_of("rw-s", "/dev/zero (deleted)", "rd wr sh", &why), AREA_KIND_FILE);
	check_int(kind_of("rw-p", "/anon_hugepage (deleted)", "rd wr ht", &why), AREA_KIND_ANON);
	check_int(kind_of("rw-s", "/anon_hugepage (deleted)", "rd wr ht", &why), AREA_KIND_FILE);
	check_int(kind_of("rw-s", "/SYSV0000abcd (deleted)", "rd wr sh", &why), AREA_KIND_SYSV);
	check_int(kind_of("rw-s", "/SYSVfile (deleted)", "rd wr sh", &why), AREA_KIND_FILE);
	check_int(kind_of("rw-s", "/[aio] (deleted)", "rd wr sh de", &why), AREA_KIND_AIO);
	check_int(kind_of("rw-s", "socket:[4711]", "rd wr sh mr mw me ms mm", &why),
		  AREA_KIND_RING);
	check_int(kind_of("r-xp", "[vdso]", "rd ex de", &why), AREA_KIND_VDSO);
	check_int(kind_of("r-xp", AREA_PATH_ASIDE, "rd ex de", &why), AREA_KIND_ASIDE);
	check_int(kind_of("r--p", "[vvar]", "rd io de dd pf", &why), AREA_KIND_VVAR);
	check_int(kind_of("r--p", "[vvar_vclock]", "rd io de dd pf", &why), AREA_KIND_VVAR);
	check_int(kind_of("--xp", "[vsyscall]", "ex", &why), AREA_KIND_VSYSCALL);
}

TEST(refused_kinds_say_why)
{
	static const char *const cases[][3] = {
		{ "rw-s", "anon_inode:[io_uring]", "rd wr sh" },
		{ "rw-p", "", "rd wr um" },
		{ "rw-s", "/secretmem (deleted)", "rd wr sh" },
		{ "rw-s", "/mnt/huge/file (deleted)", "rd wr sh ht" },
		{ "rw-p", "", "rd wr ss" },
		{ "rw-s", "/dev/mem", "rd wr pf io" },
		{ "r-xp", "[uprobes]", "rd ex" },
		{ "rw-p", "[something new]", "rd wr" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = NULL;

		check_int(kind_of(cases[i][0], cases[i][1], cases[i][2], &why),
			  AREA_KIND_UNSUPPORTED);
		check(why && *why);
	}
}

static uint32_t map_flags(const char *perms, const char *flags)
{
	struct proc_vmas vmas = { 0 };
	uint32_t result;
	char text[256];

	snprintf(text, sizeof(text), "10000-20000 %s 0 00:00 0\nVmFlags: %s\n", perms, flags);
	check_int(proc_vmas_parse(text, strlen(text), &vmas), 0);
	result = area_map_flags(&vmas.v[0]);
	proc_vmas_done(&vmas);
	return result;
}

TEST(map_flags)
{
	check_int((int)map_flags("rw-p", "rd wr"), MAP_PRIVATE | MAP_ANONYMOUS);
	check_int((int)map_flags("rw-p", "rd wr gd"), MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN);
	check_int((int)map_flags("rw-p", "rd wr lo"), MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED);
	check_int((int)map_flags("rw-p", "rd wr nr"), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	check_int((int)map_flags("rw-p", "rd wr dp"), 0x08 | MAP_ANONYMOUS);
}

TEST(a_hole_is_clear_of_all_areas)
{
	struct proc_vma v[2] = { { .start = 0x400000, .end = 0x500000 },
				 { .start = 0x7f0000000000, .end = 0x7ffffffff000 } };
	struct proc_vmas vmas = { .v = v, .n = 2 };
	uint64_t at = 0;

	check_int(mem_find_hole(&vmas, 0, 1 << 20, &at), 0);
	check(at >= 0x500000 && at + (1 << 20) <= 0x7f0000000000);
	v[1].start = 0x500000;
	check(mem_find_hole(&vmas, 0, 1 << 20, &at) < 0);
}

TEST_MAIN()
