/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/proctext-net.h"

#include <arpa/inet.h>
#include <errno.h>

#include "tests/lib/test.h"
#include "tests/unit/base/proctext-test.h"

static const char igmp[] = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
			   "1\tlo        :     2      V3\n"
			   "\t\t\t\t030201EF     1 0:00000000\t\t0\n"
			   "\t\t\t\t010000E0     1 0:00000000\t\t0\n"
			   "12\teth0      :     1      V3\n"
			   "\t\t\t\t010000E0     1 0:00000000\t\t0\n";

static const char igmp6[] =
	"1    lo              ff020000000000000000000000000001     1 0000000C 0\n"
	"2    eth0            ff0200000000000000000001ff0bc1d2     1 00000004 0\n";

static const char raw[] = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			  "retrnsmt   uid  timeout "
			  "inode ref pointer drops\n"
			  "  253: 0100007F:00FD 0200007F:0000 01 00000000:00000000 00:00000000 "
			  "00000000     0        0 "
			  "1863 2 00000000deadbeef 0\n";

static const char raw6[] =
	"  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt   uid  "
	"timeout "
	"inode ref pointer drops\n"
	"   58: 00000000000000000000000001000000:003A 00000000000000000000000000000000:0000 07 "
	"00000000:00000000 00:00000000 00000000     0        0 4294967299 2 0000000000000000 0\n";

static void free_groups(struct proc_groups *g)
{
	vec_free(g);
}

static void free_inets(struct proc_inets *s)
{
	vec_free(s);
}

TEST(groups_of_devices)
{
	struct proc_groups g = { 0 };

	check_int(proc_igmp_parse(igmp, LEN(igmp), &g), 0);
	check_int(g.n, 3);
	check_int(g.v[0].ifindex, 1);
	/* the kernel prints the word as it is in memory */
	check_int(g.v[0].addr[0], 0x030201EF);
	check_int(g.v[2].ifindex, 12);
	vec_free(&g);
}

TEST(groups_of_ipv6)
{
	struct proc_groups g = { 0 };

	check_int(proc_igmp6_parse(igmp6, LEN(igmp6), &g), 0);
	check_int(g.n, 2);
	check_int(g.v[1].ifindex, 2);
	check_int(g.v[1].addr[0], htonl(0xff020000));
	check_int(g.v[1].addr[3], htonl(0xff0bc1d2));
	vec_free(&g);
}

TEST(sockets)
{
	struct proc_inets s = { 0 };

	check_int(proc_inets_parse(raw, LEN(raw), &s), 0);
	check_int(s.n, 1);
	check_int(s.v[0].ino, 1863);
	check_int(s.v[0].state, 1);
	check_int(s.v[0].local[0], 0x0100007F);
	check_int(s.v[0].local_port, 253);
	check_int(s.v[0].remote[0], 0x0200007F);
	vec_free(&s);
	check_int(proc_inets_parse(raw6, LEN(raw6), &s), 0);
	check_int(s.n, 1);
	check_int(s.v[0].ino, 4294967299);
	check_int(s.v[0].local[3], 0x01000000);
	check_int(s.v[0].local_port, 58);
	vec_free(&s);
}

TEST(nothing_is_no_error)
{
	struct proc_groups g = { 0 };
	struct proc_inets s = { 0 };

	check_int(proc_igmp_parse("", 0, &g), 0);
	check_int(proc_igmp6_parse("", 0, &g), 0);
	check_int(proc_inets_parse("", 0, &s), 0);
	check_int(g.n + s.n, 0);
}

TEST(malformed)
{
	struct proc_groups g = { 0 };
	struct proc_inets s = { 0 };
	static const char no_device[] = "Idx\n\t\t\t\t010000E0     1\n";
	static const char short_group[] = "1 lo ff02 1 0 0\n";
	static const char three_words[] =
		"sl\n 1: 000000000000000000000000:00FD 0:0 01 0 0 0 0 0 5\n";
	static const char no_port[] = "sl\n 1: 0100007F 0200007F:0000 01 0 0 0 0 0 5\n";

	check_int(proc_igmp_parse(no_device, LEN(no_device), &g), -EINVAL);
	check_int(proc_igmp6_parse(short_group, LEN(short_group), &g), -EINVAL);
	check_int(proc_inets_parse(three_words, LEN(three_words), &s), -EINVAL);
	check_int(proc_inets_parse(no_port, LEN(no_port), &s), -EINVAL);
	EVERY_CUT(igmp, struct proc_groups, proc_igmp_parse, free_groups);
	EVERY_CUT(igmp6, struct proc_groups, proc_igmp6_parse, free_groups);
	EVERY_CUT(raw, struct proc_inets, proc_inets_parse, free_inets);
	EVERY_CUT(raw6, struct proc_inets, proc_inets_parse, free_inets);
}

TEST_MAIN()
