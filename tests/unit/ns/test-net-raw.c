/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/ns/net-priv.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/lib/test.h"

enum { IP_ADDR = 0x47361222, IP_ROUTE = 0x45311224, IP_RULE = 0x71706986 };

/* A file of iproute2 in the making. */
struct raw {
	uint8_t data[1024];
	size_t len;
};

static void put(struct raw *f, const void *data, size_t len)
{
	if (len)
		memcpy(f->data + f->len, data, len);
	f->len += len;
}

static void magic(struct raw *f, uint32_t word)
{
	f->len = 0;
	put(f, &word, sizeof(word));
}

static void message(struct raw *f, uint16_t type, const void *head, size_t head_len,
		    const void *attrs, size_t attrs_len)
{
	struct nlmsghdr h = { .nlmsg_len = (uint32_t)(NLMSG_SPACE(head_len) + attrs_len),
			      .nlmsg_type = type };
	static const uint8_t zeros[4];

	put(f, &h, sizeof(h));
	put(f, head, head_len);
	put(f, zeros, NLMSG_SPACE(head_len) - NLMSG_HDRLEN - head_len);
	put(f, attrs, attrs_len);
}

static void address(struct raw *f, uint8_t family, uint32_t index, uint8_t prefix, const void *ip,
		    uint16_t ip_len)
{
	struct ifaddrmsg m = { .ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = index };
	uint8_t attr[4 + 16];
	struct rtattr a = { .rta_len = (uint16_t)(4 + ip_len), .rta_type = IFA_ADDRESS };

	memcpy(attr, &a, sizeof(a));
	memcpy(attr + 4, ip, ip_len);
	message(f, RTM_NEWADDR, &m, sizeof(m), attr, 4u + ip_len);
}

static int read_raw(const struct raw *f, uint32_t word, struct buf *list)
{
	/* An exact copy on the heap, so that a sanitizer sees a read behind the end. */
	void *copy = calloc(1, f->len ? f->len : 1);
	int r;

	memcpy(copy, f->data, f->len);
	r = net_raw_iproute(word, copy, f->len, list);
	free(copy);
	return r;
}

TEST(addresses_of_loopback)
{
	static const uint8_t v4[] = { 127, 0, 0, 1 }, v6[16] = { [15] = 1 };
	cleanup_buf struct buf list = BUF_INIT;
	struct raw f;

	magic(&f, IP_ADDR);
	address(&f, AF_INET, 1, 8, v4, 4);
	address(&f, AF_INET6, 1, 128, v6, 16);
	check_int(read_raw(&f, IP_ADDR, &list), 0);
	check_int(list.len, 0);
}

TEST(other_addresses_are_named)
{
	static const uint8_t a[] = { 127, 0, 0, 2 }, b[] = { 10, 1, 2, 3 },
			     c[16] = { 0xfd, [15] = 9 };
	cleanup_buf struct buf list = BUF_INIT;
	struct raw f;

	magic(&f, IP_ADDR);
	address(&f, AF_INET, 1, 8, a, 4);
	address(&f, AF_INET, 2, 24, b, 4); /* goes with its device */
	address(&f, AF_INET6, 1, 64, c, 16);
	check_int(read_raw(&f, IP_ADDR, &list), 0);
	check_str(list.data, "address 127.0.0.2/8 of 'lo', address fd00::9/64 of 'lo'");
}

TEST(routes)
{
	struct rtmsg kernel = { .rtm_family = AF_INET, .rtm_protocol = RTPROT_KERNEL },
		     by_hand = { .rtm_family = AF_INET,
				 .rtm_protocol = RTPROT_BOOT,
				 .rtm_dst_len = 8,
				 .rtm_type = RTN_BLACKHOLE };
	static const uint8_t dst[] = { 8, 0, RTA_DST, 0, 10, 0, 0, 0 };
	cleanup_buf struct buf list = BUF_INIT;
	struct raw f;

	magic(&f, IP_ROUTE);
	message(&f, RTM_NEWROUTE, &kernel, sizeof(kernel), NULL, 0);
	message(&f, RTM_NEWROUTE, &by_hand, sizeof(by_hand), dst, sizeof(dst));
	check_int(read_raw(&f, IP_ROUTE, &list), 0);
	check_str(list.data, "route 10.0.0.0/8");
}

static void rule(struct raw *f, uint8_t family, uint32_t priority, uint8_t table)
{
	struct fib_rule_hdr m = { .family = family, .table = table, .action = FR_ACT_TO_TBL };
	uint8_t attr[8] = { 8, 0, FRA_PRIORITY, 0 };

	memcpy(attr + 4, &priority, 4);
	message(f, RTM_NEWRULE, &m, sizeof(m), attr, sizeof(attr));
}

TEST(rules)
{
	cleanup_buf struct buf list = BUF_INIT;
	struct raw f;

	magic(&f, IP_RULE);
	rule(&f, AF_INET, 0, RT_TABLE_LOCAL);
	rule(&f, AF_INET, 32766, RT_TABLE_MAIN);
	rule(&f, AF_INET, 32767, RT_TABLE_DEFAULT);
	rule(&f, AF_INET6, 0, RT_TABLE_LOCAL);
	rule(&f, AF_INET6, 32766, RT_TABLE_MAIN);
	check_int(read_raw(&f, IP_RULE, &list), 0);
	check_int(list.len, 0);
	rule(&f, AF_INET, 100, 9);
	check_int(read_raw(&f, IP_RULE, &list), 0);
	check_str(list.data, "routing rule 100 for table 9");
}

TEST(broken_files_are_refused)
{
	static const uint8_t v4[] = { 127, 0, 0, 1 };
	cleanup_buf struct buf list = BUF_INIT;
	struct raw f;
	size_t full;

	f.len = 0;
	check_int(read_raw(&f, IP_ADDR, &list), 0);
	magic(&f, IP_ROUTE);
	check_int(read_raw(&f, IP_ADDR, &list), -EBADMSG);
	magic(&f, IP_ADDR);
	check_int(read_raw(&f, IP_ADDR, &list), 0);
	address(&f, AF_INET, 1, 8, v4, 4);
	full = f.len;
	for (f.len = 1; f.len < full; f.len++)
		if (f.len != 4)
			check_int(read_raw(&f, IP_ADDR, &list), -EBADMSG);
	/* a length of nothing, which must not loop */
	memset(f.data + 4, 0, 4);
	f.len = full;
	check_int(read_raw(&f, IP_ADDR, &list), -EBADMSG);
	memset(f.data + 4, 0xff, 4);
	check_int(read_raw(&f, IP_ADDR, &list), -EBADMSG);
}

static const char *nft(const char *text, struct buf *list)
{
	buf_done(list);
	check_int(net_raw_nft(text, strlen(text), list), 0);
	return list->len ? list->data : "";
}

/* What CRIU 4.2 leaves of its own network lock in its images, made through iptables-nft or nft. */
#define LOCK(family)                                                         \
	"table " family " filter {\n\tchain CRIU {\n"                        \
	"\t\tmeta mark 0x0000c114 counter packets 0 bytes 0 accept\n"        \
	"\t\tcounter packets 0 bytes 0 drop\n\t}\n\n\tchain INPUT {\n"       \
	"\t\ttype filter hook input priority filter; policy accept;\n"       \
	"\t\tcounter packets 0 bytes 0 jump CRIU\n\t}\n\n\tchain OUTPUT {\n" \
	"\t\ttype filter hook output priority filter; policy accept;\n"      \
	"\t\tcounter packets 3 bytes 180 jump CRIU\n\t}\n}\n"

TEST(nft_rules)
{
	cleanup_buf struct buf list = BUF_INIT;

	check_str(nft("", &list), "");
	check_str(nft(LOCK("ip") LOCK("ip6"), &list), "");
	check_str(nft("table inet CRIU-5f3f7530-fb2e-4a0f-82 {\n\tchain output {\n"
		      "\t\ttype filter hook output priority filter; policy drop;\n"
		      "\t\tmeta mark 0x0000c114 accept\n\t}\n}\n",
		      &list),
		  "");
	check_str(
		nft(LOCK("ip") "table inet web {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n", &list),
		"nftables table 'inet web'");
	check_str(
		nft("table ip filter {\n\tchain INPUT {\n\t\ttcp dport 22 accept\n\t}\n}\n", &list),
		"nftables table 'ip filter'");
	check_str(nft("table ip filter {\n\tchain INPUT {\n\t\tcounter packets 1 bytes 2 "
		      "accept\n\t}\n}\n",
		      &list),
		  "nftables table 'ip filter'");
	check_str(nft("table ip nat {\n}\n", &list), "nftables table 'ip nat'");
	check_str(nft("table ip filter {\n\tchain A {", &list), "nftables table 'ip filter'");
}

static const char *iptables(const char *text, struct buf *list)
{
	buf_done(list);
	check_int(net_raw_iptables(text, strlen(text), list), 0);
	return list->len ? list->data : "";
}

TEST(iptables_rules)
{
	cleanup_buf struct buf list = BUF_INIT;

	check_str(iptables("", &list), "");
	check_str(iptables("# Generated\n*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
			   ":CRIU - [0:0]\n-A INPUT -j CRIU\n-A OUTPUT -j CRIU\n"
			   "-A CRIU -m mark --mark 0xc114 -j ACCEPT\n-A CRIU -j DROP\nCOMMIT\n",
			   &list),
		  "");
	check_str(iptables("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", &list),
		  "iptables ':INPUT DROP [0:0]'");
	check_str(iptables("*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT", &list),
		  "iptables '-A POSTROUTING -j MASQUERADE'");
}

TEST_MAIN()
