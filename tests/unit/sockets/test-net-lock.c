/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules that cut off connections, as text for nft and iptables-restore. */
#include <arpa/inet.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/sockets/net-lock.h"
#include "tests/lib/test.h"

static struct net_flow flow(int family, const char *src, const char *dst)
{
	uint32_t a[4] = { 0 }, b[4] = { 0 };

	check_int(inet_pton(family, src, a), 1);
	check_int(inet_pton(family, dst, b), 1);
	return net_flow_of(family, a, 80, b, 4000);
}

TEST(mapped_addresses_are_those_of_ipv4)
{
	struct net_flow f = flow(AF_INET6, "::ffff:10.0.0.1", "::ffff:10.0.0.2");

	check_int(f.family, AF_INET);
	check_int(f.src[0], inet_addr("10.0.0.1"));
	check_int(f.dst[0], inet_addr("10.0.0.2"));
	check_int(flow(AF_INET6, "::1", "::2").family, AF_INET6);
}

TEST(iptables_drops_both_directions)
{
	struct net_flow f = flow(AF_INET, "10.0.0.1", "10.0.0.2");
	struct net_flows flows = { .list = { .v = &f, .n = 1 } };
	cleanup_buf struct buf b = BUF_INIT, other = BUF_INIT;

	check_int(net_lock_iptables_text(&b, AF_INET, false, &flows) < 0, 0);
	check_str(b.data, "*filter\n"
			  "-D INPUT -p tcp -m mark ! --mark 0xc114 -s 10.0.0.2 --sport 4000 "
			  "-d 10.0.0.1 --dport 80 -j DROP\n"
			  "-D OUTPUT -p tcp -m mark ! --mark 0xc114 -s 10.0.0.1 --sport 80 "
			  "-d 10.0.0.2 --dport 4000 -j DROP\n"
			  "COMMIT\n");
	check_int(net_lock_iptables_text(&other, AF_INET6, true, &flows) < 0, 0);
	check_int(other.len, 0);
}

TEST(nft_names_its_table_as_criu_does)
{
	struct net_flow f[2] = { flow(AF_INET, "10.0.0.1", "10.0.0.2"),
				 flow(AF_INET, "10.0.0.1", "10.0.0.3") };
	struct net_flows flows = { .list = { .v = f, .n = 2 } };
	cleanup_buf struct buf b = BUF_INIT;

	check_int(net_lock_nft_text(&b, "01234567-89ab-cdef-0123-456789abcdef", &flows) < 0, 0);
	check(strstr(b.data, "create table inet CRIU-01234567-89ab-cdef-01\n") != NULL);
	check(strstr(b.data, "conns4 { 10.0.0.1 . 80 . 10.0.0.2 . 4000, "
			     "10.0.0.2 . 4000 . 10.0.0.1 . 80, 10.0.0.1 . 80 . 10.0.0.3 . 4000, "
			     "10.0.0.3 . 4000 . 10.0.0.1 . 80 }\n") != NULL);
	/* the other family has a set, but no list of nothing */
	check(strstr(b.data, "add element inet CRIU-01234567-89ab-cdef-01 conns6") == NULL);
	check(strstr(b.data, "hook input") && strstr(b.data, "hook output"));
}

TEST_MAIN()
