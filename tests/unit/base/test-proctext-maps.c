/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/proctext-maps.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "tests/lib/test.h"

#define LEN(text) (sizeof(text) - 1)

static const char maps_618[] =
	"55595da83000-55595da85000 r--p 00000000 fe:00 247498                     /usr/bin/head\n"
	"55595da85000-55595da8b000 r-xp 00002000 fe:00 247498                     /usr/bin/head\n"
	"555591d16000-555591d37000 rw-p 00000000 00:00 0                          [heap]\n"
	"7f0011000000-7f0011002000 ---p 00000000 00:00 0 \n"
	"7f001302a000-7f001302b000 rw-s 00001000 fe:10f 18446744073709551615       "
	"/tmp/we ird\\012name\\\\x (deleted)\n"
	"7ffd1bd05000-7ffd1bd26000 rw-p 00000000 00:00 0                          [stack]\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

TEST(maps)
{
	cleanup_proc_vmas struct proc_vmas m = { 0 };

	if (!check_int(proc_vmas_parse(maps_618, LEN(maps_618), &m), 0) || !check_int(m.n, 7))
		return;
	check_int(m.v[0].start, 0x55595da83000);
	check_int(m.v[0].end, 0x55595da85000);
	check_int(m.v[0].prot, PROT_READ);
	check_int(m.v[0].dev_major, 0xfe);
	check_int(m.v[0].ino, 247498);
	check_str(m.v[0].path, "/usr/bin/head");
	check(!m.v[0].shared);
	check_int(m.v[1].prot, PROT_READ | PROT_EXEC);
	check_int(m.v[1].offset, 0x2000);
	check_str(m.v[1].path, "/usr/bin/head");
	check_str(m.v[2].path, "[heap]");
	check_int(m.v[2].prot, PROT_READ | PROT_WRITE);
	check_int(m.v[3].prot, PROT_NONE);
	check_str(m.v[3].path, "");
	check(m.v[4].shared);
	check_int(m.v[4].dev_minor, 0x10f);
	check(m.v[4].ino == UINT64_MAX);
	check_str(m.v[4].path, "/tmp/we ird\nname\\\\x (deleted)");
	check(m.v[6].start == 0xffffffffff600000);
	check_int(m.v[6].vmflags, 0);
}

static const char smaps_618[] =
	"7f0000000000-7f0000400000 rw-p 00000000 00:00 0                          [anon:a b]\n"
	"Size:               4096 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
	"Rss:                1000 kB\nPss:                 900 kB\nPss_Dirty:           800 kB\n"
	"Shared_Clean:          1 kB\nShared_Dirty:          2 kB\nPrivate_Clean:        10 kB\n"
	"Private_Dirty:        20 kB\nReferenced:         1000 kB\nAnonymous:           999 kB\n"
	"KSM:                   0 kB\nLazyFree:              0 kB\nAnonHugePages:     2048 kB\n"
	"ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\nShared_Hugetlb:        4 kB\n"
	"Private_Hugetlb:       8 kB\nSwap:                 12 kB\nSwapPss:              11 kB\n"
	"Locked:                7 kB\nTHPeligible:           1\nProtectionKey:         5\n"
	"VmFlags: rd wr mr mw me ac sd \n"
	"7f0000400000-7f0000401000 rw-s 00000000 00:01 5                          /dev/zero "
	"(deleted)\n"
	"Size:                  4 kB\nRss:                   0 kB\n"
	"VmFlags: rd wr sh mr mw me ms lo io dc de nr ht wf dd hg um uw ui ss sl dp ?? zz\n";

TEST(smaps)
{
	cleanup_proc_vmas struct proc_vmas m = { 0 };

	if (!check_int(proc_vmas_parse(smaps_618, LEN(smaps_618), &m), 0) || !check_int(m.n, 2))
		return;
	check_str(m.v[0].path, "[anon:a b]");
	check_int(m.v[0].page_kib, 4);
	check_int(m.v[0].rss_kib, 1000);
	check_int(m.v[0].anon_kib, 999);
	check_int(m.v[0].shared_kib, 3);
	check_int(m.v[0].private_kib, 30);
	check_int(m.v[0].hugetlb_kib, 12);
	check_int(m.v[0].swap_kib, 12);
	check_int(m.v[0].locked_kib, 7);
	check_int(m.v[0].pkey, 5);
	check_int(m.v[0].vmflags, VMF_BIT(VMF_RD) | VMF_BIT(VMF_WR) | VMF_BIT(VMF_MR) |
					  VMF_BIT(VMF_MW) | VMF_BIT(VMF_ME) | VMF_BIT(VMF_AC) |
					  VMF_BIT(VMF_SD));
	check(proc_vma_has(&m.v[1], VMF_SH));
	check(proc_vma_has(&m.v[1], VMF_WF));
	check(proc_vma_has(&m.v[1], VMF_SS));
	check(proc_vma_has(&m.v[1], VMF_DP));
	check(proc_vma_has(&m.v[1], VMF_OTHER));
	check(!proc_vma_has(&m.v[0], VMF_OTHER));
	check_int(m.v[1].rss_kib, 0);
}

/* 4.19 has fewer lines, other blanks, and nonlinear and deny-write words. */
TEST(smaps_of_4_19)
{
	static const char text[] = "00400000-0040b000 r-xp 00000000 08:01 131 /bin/cat\n"
				   "Size:\t44 kB\nRss:\t44 kB\nAnonymous:\t0 kB\nSwap:\t0 kB\n"
				   "VmFlags: rd ex mr mw me dw nl mp\n";
	cleanup_proc_vmas struct proc_vmas m = { 0 };

	check_int(proc_vmas_parse(text, LEN(text), &m), 0);
	check_str(m.v[0].path, "/bin/cat");
	check_int(m.v[0].rss_kib, 44);
	check(proc_vma_has(&m.v[0], VMF_DW));
	check(proc_vma_has(&m.v[0], VMF_NL));
	check(!proc_vma_has(&m.v[0], VMF_OTHER));
}

TEST(every_known_word_has_its_own_bit)
{
	static const char *const words[] = {
		"rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "gd", "pf", "dw", "lo", "io", "sr",
		"rr", "dc", "de", "lf", "ac", "nr", "ht", "sf", "nl", "ar", "wf", "dd", "sd", "mm",
		"hg", "nh", "mg", "um", "uw", "ui", "ss", "sl", "dp", "bt", "mt", "mp", "gu",
	};

	check_int(sizeof(words) / sizeof(words[0]), VMF_OTHER);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct proc_vmas m = { 0 };
		char text[128];
		int n = snprintf(text, sizeof(text), "1000-2000 r--p 0 00:00 0\nVmFlags: %s\n",
				 words[i]);

		check_int(proc_vmas_parse(text, (size_t)n, &m), 0);
		check_int(m.v[0].vmflags, VMF_BIT(i));
		proc_vmas_done(&m);
	}
}

TEST(maps_cut_anywhere)
{
	for (size_t n = 0; n <= LEN(smaps_618); n++) {
		struct proc_vmas m = { 0 };
		char *copy = malloc(n ? n : 1);
		int r;

		memcpy(copy, smaps_618, n);
		r = proc_vmas_parse(copy, n, &m);
		check(r == 0 || r == -EINVAL);
		if (r == 0)
			proc_vmas_done(&m);
		else
			check(!m.v && !m.paths);
		free(copy);
	}
}

TEST(maps_odd)
{
	static const char *const bad[] = {
		"\n",
		"Rss: 1 kB\n",
		"1000\n",
		"1000-2000\n",
		"1000-2000 rwxq 0 00:00 0\n",
		"1000-2000 rw 0 00:00 0\n",
		"2000-1000 rw-p 0 00:00 0\n",
		"1000-1000 rw-p 0 00:00 0\n",
		"1000-2000 rw-p x 00:00 0\n",
		"1000-2000 rw-p 0 0000 0\n",
		"1000-2000 rw-p 0 00:00 12x\n",
		"10000000000000000-20000000000000000 rw-p 0 00:00 0\n",
		"1000-2000 rw-p 0 00:00 0\nRss: many kB\n",
		"1000-2000 rw-p 0 00:00 0\nRss: 18446744073709551615 kB\nRss: 1 kB\n",
		"1000-2000 rw-p 0 00:00 0\nProtectionKey: -1\n",
	};
	struct proc_vmas m = { 0 };

	check_int(proc_vmas_parse("", 0, &m), 0);
	check_int(m.n, 0);
	proc_vmas_done(&m);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!check_int(proc_vmas_parse(bad[i], strlen(bad[i]), &m), -EINVAL))
			printf("# case %zu\n", i);
	check(!m.v);
}

TEST(paths_of_any_bytes)
{
	struct buf b = BUF_INIT;
	struct proc_vmas m = { 0 };
	char long_path[5000];

	memset(long_path, 'p', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	buf_printf(&b,
		   "1000-2000 rw-p 0 00:00 0 /\\012\\012\n2000-3000 rw-p 0 00:00 0 /\\01\n"
		   "3000-4000 rw-p 0 00:00 0 /\\\n4000-5000 rw-p 0 00:00 0 %s\n"
		   "5000-6000 rw-p 0 00:00 0 %s\n6000-7000 rw-p 0 00:00 0\n"
		   "7000-8000 rw-p 0 00:00 0 /\\040\n",
		   long_path, long_path);
	if (check_int(proc_vmas_parse(b.data, b.len, &m), 0) && check_int(m.n, 7)) {
		check_str(m.v[0].path, "/\n\n");
		check_str(m.v[1].path, "/\\01");
		check_str(m.v[2].path, "/\\");
		check_str(m.v[3].path, long_path);
		check(m.v[3].path == m.v[4].path);
		check_str(m.v[5].path, "");
		check_str(m.v[6].path, "/\\040");
	}
	proc_vmas_done(&m);
	buf_done(&b);
}

/* The clock is generous (a sanitizer and a busy machine); it catches a parser that is quadratic. */
TEST(twenty_thousand_areas_parse_fast)
{
	struct proc_vmas m = { 0 };
	struct timespec a, z;
	struct buf b = BUF_INIT;
	const char *lines = strchr(smaps_618, '\n') + 1;
	size_t n = (size_t)(strstr(lines, "7f0000400000") - lines);

	for (unsigned int i = 0; i < 20000; i++) {
		buf_printf(&b, "%x-%x rw-p 00000000 fe:00 %u %*s/lib/x%u\n", 0x1000000 + i * 0x2000,
			   0x1001000 + i * 0x2000, i, 20, "", i / 4);
		buf_append(&b, lines, n);
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	check_int(proc_vmas_parse(b.data, b.len, &m), 0);
	clock_gettime(CLOCK_MONOTONIC, &z);
	check_int(m.n, 20000);
	check_str(m.v[19999].path, "/lib/x4999");
	check_int(m.v[19999].anon_kib, 999);
	long ms = (z.tv_sec - a.tv_sec) * 1000 + (z.tv_nsec - a.tv_nsec) / 1000000;

	printf("# %zu bytes in %ld ms\n", b.len, ms);
	check(ms < 2000);
	proc_vmas_done(&m);
	buf_done(&b);
}

TEST(own_smaps)
{
	struct proc_vmas m = { 0 };
	struct buf b = BUF_INIT;
	struct proc_vma *vma;
	int found = 0;
	char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 1, 2 * 4096);
	check_int(mprotect(p, 3 * 4096, PROT_READ), 0);
	check_int(madvise(p, 3 * 4096, MADV_DONTDUMP), 0);
	check_int(io_read_file(AT_FDCWD, "/proc/self/smaps", &b), 0);
	check_int(proc_vmas_parse(b.data, b.len, &m), 0);
	vec_foreach (vma, &m) {
		if (vma->start != (uint64_t)(uintptr_t)p)
			continue;
		found++;
		check_int(vma->end - vma->start, 3 * 4096);
		check_int(vma->prot, PROT_READ);
		check_int(vma->anon_kib, 8);
		check(proc_vma_has(vma, VMF_DD));
		check(!proc_vma_has(vma, VMF_WR));
	}
	check_int(found, 1);
	munmap(p, 3 * 4096);
	proc_vmas_done(&m);
	buf_done(&b);
}

TEST_MAIN()
