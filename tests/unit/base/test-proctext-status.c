/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/proctext.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "tests/lib/test.h"
#include "tests/unit/base/proctext-test.h"

static const char status_618[] = "Name:\ta)b (c\\nd\\\\\n"
				 "Umask:\t0022\n"
				 "State:\tS (sleeping)\n"
				 "Tgid:\t16902\n"
				 "Ngid:\t0\n"
				 "Pid:\t16903\n"
				 "PPid:\t16900\n"
				 "TracerPid:\t44\n"
				 "Uid:\t1000\t1001\t1002\t1003\n"
				 "Gid:\t100\t101\t102\t4294967294\n"
				 "FDSize:\t256\n"
				 "Groups:\t4 24 27 65534 \n"
				 "NStgid:\t16902\t12\t1\n"
				 "NSpid:\t16903\t13\t2\n"
				 "NSpgid:\t16900\t0\t0\n"
				 "NSsid:\t15198\t0\t0\n"
				 "Kthread:\t0\n"
				 "VmPeak:\t    3060 kB\n"
				 "VmLck:\t     128 kB\n"
				 "VmPin:\t       0 kB\n"
				 "CoreDumping:\t1\n"
				 "THP_enabled:\t0\n"
				 "untag_mask:\t0xffffffffffffffff\n"
				 "Threads:\t3\n"
				 "SigQ:\t0/96365\n"
				 "SigPnd:\t0000000000000001\n"
				 "ShdPnd:\t8000000000000000\n"
				 "SigBlk:\t0000000000010000\n"
				 "SigIgn:\t0000000000001000\n"
				 "SigCgt:\t0000000180000000\n"
				 "CapInh:\t0000000000000001\n"
				 "CapPrm:\t000001fffeffffff\n"
				 "CapEff:\t000001fffefffffe\n"
				 "CapBnd:\t000001ffffffffff\n"
				 "CapAmb:\t0000000000000002\n"
				 "NoNewPrivs:\t1\n"
				 "Seccomp:\t2\n"
				 "Seccomp_filters:\t3\n"
				 "Speculation_Store_Bypass:\tthread vulnerable\n"
				 "SpeculationIndirectBranch:\tconditional enabled\n"
				 "Cpus_allowed:\t3\n"
				 "Mems_allowed_list:\t0\n"
				 "voluntary_ctxt_switches:\t0\n"
				 "nonvoluntary_ctxt_switches:\t0\n"
				 "x86_Thread_features:\tshstk wrss \n"
				 "x86_Thread_features_locked:\tshstk \n";

TEST(status_of_6_18)
{
	cleanup_proc_status struct proc_status s = { 0 };

	if (!check_int(proc_status_parse(status_618, LEN(status_618), &s), 0))
		return;
	check_int(s.umask, 022);
	check_int(s.state, 'S');
	check_int(s.tgid, 16902);
	check_int(s.pid, 16903);
	check_int(s.ppid, 16900);
	check_int(s.tracer_pid, 44);
	for (unsigned int i = 0; i < 4; i++)
		check_int(s.uid[i], 1000 + i);
	check_int(s.gid[0], 100);
	check_int(s.gid[3], 4294967294);
	if (check_int(s.n_groups, 4)) {
		check_int(s.groups[0], 4);
		check_int(s.groups[3], 65534);
	}
	check_int(s.nstgid.levels, 3);
	check_int(s.nspid.outer, 16903);
	check_int(s.nspid.inner, 2);
	check_int(s.nspid.levels, 3);
	check_int(s.nspgid.inner, 0);
	check_int(s.nssid.outer, 15198);
	check_int(s.vm_lck_kib, 128);
	check(s.coredumping);
	check_int(s.thp_enabled, 0);
	check_int(s.threads, 3);
	check_int(s.sig_pnd, 1);
	check(s.shd_pnd == 1ull << 63);
	check_int(s.sig_blk, 0x10000);
	check_int(s.sig_ign, 0x1000);
	check_int(s.sig_cgt, 0x180000000);
	check_int(s.cap_inh, 1);
	check_int(s.cap_prm, 0x1fffeffffff);
	check_int(s.cap_eff, 0x1fffefffffe);
	check_int(s.cap_bnd, 0x1ffffffffff);
	check_int(s.cap_amb, 2);
	check(s.no_new_privs);
	check_int(s.seccomp_mode, 2);
	check_int(s.seccomp_filters, 3);
	check_int(s.x86_features, PROC_X86_SHSTK | PROC_X86_WRSS);
	check_int(s.x86_features_locked, PROC_X86_SHSTK);
}

TEST(status_cut_anywhere)
{
	EVERY_CUT(status_618, struct proc_status, proc_status_parse, proc_status_done);
}

/* 4.4: no Umask, Seccomp_filters, THP_enabled, NoNewPrivs; "Ngid" there, groups empty. */
TEST(status_of_4_4)
{
	static const char text[] = "Name:\tsh\n"
				   "State:\tT (stopped)\n"
				   "Tgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\nTracerPid:\t0\n"
				   "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t\n"
				   "NStgid:\t7\nNSpid:\t7\nNSpgid:\t7\nNSsid:\t7\n"
				   "Threads:\t1\nSigQ:\t0/1\nSigPnd:\t0000000000000000\n"
				   "CapBnd:\t0000003fffffffff\nSeccomp:\t0\n";
	cleanup_proc_status struct proc_status s = { 0 };

	check_int(proc_status_parse(text, LEN(text), &s), 0);
	check_int(s.state, 'T');
	check_int(s.umask, -1);
	check_int(s.seccomp_filters, -1);
	check_int(s.thp_enabled, -1);
	check_int(s.n_groups, 0);
	check_int(s.x86_features, 0);
	check_int(s.nspid.levels, 1);
	check_int(s.cap_bnd, 0x3fffffffff);
}

/* A zombie has no memory, no umask, and shows no Vm lines. */
TEST(status_of_a_zombie)
{
	static const char text[] = "Name:\tdead\nState:\tZ (zombie)\nTgid:\t9\nPid:\t9\nPPid:\t1\n"
				   "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t0\nGroups:\t \n"
				   "Threads:\t1\nSigCgt:\t0000000000000000\n";
	cleanup_proc_status struct proc_status s = { 0 };

	check_int(proc_status_parse(text, LEN(text), &s), 0);
	check_int(s.state, 'Z');
	check_int(s.umask, -1);
	check_int(s.vm_lck_kib, 0);
	check_int(s.nspid.levels, 0);
}

TEST(status_of_many_groups)
{
	struct buf b = BUF_INIT;
	struct proc_status s;

	buf_printf(&b, "State:\tR (running)\nTgid:\t9\nPid:\t9\nThreads:\t1\nGroups:\t");
	for (int i = 0; i < 65536; i++)
		buf_printf(&b, "%d ", i * 3);
	buf_printf(&b, "\nx86_Thread_features:\tshstk new_thing\n");
	check_int(proc_status_parse(b.data, b.len, &s), 0);
	check_int(s.n_groups, 65536);
	check_int(s.groups[65535], 65535 * 3);
	check(s.x86_features & (uint32_t)PROC_X86_UNKNOWN);
	proc_status_done(&s);
	check_int(s.n_groups, 0);
	buf_done(&b);
}

TEST(status_odd)
{
	static const char *const bad[] = {
		"",
		"Name:\tx\n",
		"no colon here\n",
		"State:\tR\nTgid:\t9\nPid:\t9\n",
		"State:\tR\nTgid:\t9\nPid:\tnine\nThreads:\t1\n",
		"State:\tR\nTgid:\t9\nPid:\t9999999999\nThreads:\t1\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nUid:\t1\t2\t3\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nUid:\t1\t2\t3\t-4\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nGroups:\t1 2 x\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nGroups:\t1\nGroups:\t2\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nNSpid:\t\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nSigBlk:\t10000000000000000\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nUmask:\t9\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nUmask:\t7777\n",
		"State:\tR\nTgid:\t9\nPid:\t9\nThreads:\t1\nNoNewPrivs:\t2\n",
		"State:\t\nTgid:\t9\nPid:\t9\nThreads:\t1\n",
	};
	struct proc_status s = { .pid = 77 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!check_int(proc_status_parse(bad[i], strlen(bad[i]), &s), -EINVAL))
			printf("# case %zu\n", i);
	check_int(s.pid, 77);
}

TEST(own_status)
{
	struct proc_status st = { 0 };
	struct buf b = BUF_INIT;

	check_int(io_read_file(AT_FDCWD, "/proc/self/status", &b), 0);
	check_int(proc_status_parse(b.data, b.len, &st), 0);
	check_int(st.pid, getpid());
	check_int(st.uid[1], geteuid());
	check_int(st.n_groups, getgroups(0, NULL));
	proc_status_done(&st);
	buf_done(&b);
}

TEST_MAIN()
