/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading of sockets from images of all sorts. No socket is made. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/files/restore-files.h"
#include "proto/files.pb-c.h"
#include "tests/lib/test.h"

/* A socket of each kind, fit to be restored until a test changes it. */
struct world {
	char dir[64];
	struct restore r;
	struct ckpt_options opts;
	struct image_set *images;
	struct log log;
	struct err err;
	FownEntry fown;
	SkOptsEntry sk;
	IpOptsEntry ip;
	IpOptsRawEntry raw;
	InetSkEntry inet;
	PacketSockEntry packet;
	NetlinkSkEntry netlink;
	SkPacketEntry waiting;
	DatagramPathEntry path;
	uint32_t words[4];
};

static void init_messages(struct world *w)
{
	fown_entry__init(&w->fown);
	sk_opts_entry__init(&w->sk);
	ip_opts_entry__init(&w->ip);
	ip_opts_raw_entry__init(&w->raw);
	inet_sk_entry__init(&w->inet);
	w->inet.id = 1;
	w->inet.family = AF_INET;
	w->inet.type = SOCK_DGRAM;
	w->inet.proto = IPPROTO_UDP;
	w->inet.state = 7;
	w->inet.n_src_addr = w->inet.n_dst_addr = 1;
	w->inet.src_addr = w->inet.dst_addr = w->words;
	w->inet.fown = &w->fown;
	w->inet.opts = &w->sk;
	w->inet.ip_opts = &w->ip;
	w->ip.raw = &w->raw;
	packet_sock_entry__init(&w->packet);
	w->packet.id = 2;
	w->packet.type = SOCK_RAW;
	w->packet.fown = &w->fown;
	w->packet.opts = &w->sk;
	netlink_sk_entry__init(&w->netlink);
	w->netlink.id = 3;
	w->netlink.fown = &w->fown;
	w->netlink.opts = &w->sk;
	sk_packet_entry__init(&w->waiting);
	w->waiting.id_for = 1;
	datagram_path_entry__init(&w->path);
	w->path.n_src_addr = w->path.n_dst_addr = 1;
	w->path.src_addr = w->path.dst_addr = w->words;
	w->waiting.path = &w->path;
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/test-sockets-XXXXXX");
	check(mkdtemp(w->dir));
	ckpt_options_init(&w->opts);
	log_init(&w->log, -1, LOG_ERROR);
	w->r.opts = &w->opts;
	w->r.log = &w->log;
	w->r.images_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	init_messages(w);
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void add(struct world *w, int type, uint32_t id)
{
	FileEntry fe = FILE_ENTRY__INIT;

	fe.type = (FdTypes)type;
	fe.id = id;
	fe.isk = type == FD_TYPES__INETSK ? &w->inet : NULL;
	fe.psk = type == FD_TYPES__PACKETSK ? &w->packet : NULL;
	fe.nlsk = type == FD_TYPES__NETLINKSK ? &w->netlink : NULL;
	check_int(image_add(image_get(w->images, IMG_FILES, "files.img"), &fe.base), 0);
}

static int load(struct world *w)
{
	int r;

	image_set_new(&w->images);
	image_get(w->images, IMG_INVENTORY, "inventory.img");
	add(w, FD_TYPES__INETSK, 1);
	add(w, FD_TYPES__PACKETSK, 2);
	add(w, FD_TYPES__NETLINKSK, 3);
	check_int(image_add(image_get(w->images, IMG_SK_QUEUES, "sk-queues.img"), &w->waiting.base),
		  0);
	check_int(image_set_commit(w->images, w->r.images_fd, &w->err), 0);
	r = restore_files_load(&w->r, &w->err);
	image_set_free(w->images);
	return r;
}

static void world_done(struct world *w)
{
	ProtobufCMessage **m;

	restore_files_done(&w->r);
	vec_foreach (m, &w->r.messages)
		protobuf_c_message_free_unpacked(*m, NULL);
	vec_free(&w->r.messages);
	arena_done(&w->r.arena);
	close(w->r.images_fd);
	nftw(w->dir, rm, 8, FTW_DEPTH | FTW_PHYS);
}

TEST(sound_ones)
{
	struct world w;

	world_init(&w);
	check_int(load(&w), 0);
	check_str(w.err.text, "");
	world_done(&w);
}

/* One field is wrong, and the error names the file and says what it is about. */
#define BAD(want, change)                                  \
	do {                                               \
		struct world w;                            \
                                                           \
		world_init(&w);                            \
		change;                                    \
		check_int(load(&w), -EBADMSG);             \
		if (!strstr(w.err.text, want))             \
			check_str(w.err.text, want);       \
		check(strstr(w.err.text, ".img") != NULL); \
		world_done(&w);                            \
	} while (0)

TEST(bad_internet_sockets)
{
	BAD("family 1", w.inet.family = AF_UNIX);
	BAD("type 5", w.inet.type = SOCK_SEQPACKET);
	BAD("protocol 132", (w.inet.type = SOCK_STREAM, w.inet.proto = 132));
	BAD("state 0", w.inet.state = 0);
	BAD("state 10", w.inet.state = 10);
	BAD("words", w.inet.n_src_addr = 0);
	BAD("words", w.inet.family = AF_INET6);
	BAD("ports 65536", w.inet.src_port = 65536);
	BAD("ports", w.inet.dst_port = UINT32_MAX);
	BAD("backlog", w.inet.backlog = UINT32_MAX);
	BAD("network device", w.inet.ifname = (char *)"a-name-that-is-too-long");
	BAD("shutdown", (w.inet.has_shutdown = true, w.inet.shutdown = (SkShutdown)4));
	BAD("ICMP filter", (w.raw.n_icmpv_filter = 1, w.raw.icmpv_filter = w.words));
	BAD("signal", w.fown.signum = 4711);
}

TEST(bad_options)
{
	uint64_t filter[BPF_MAXINSNS + 1] = { 0 };
	SkOptionEntry more = SK_OPTION_ENTRY__INIT, *list[] = { &more };
	uint8_t value[16] = { 0 };

	more.level = IPPROTO_TCP;
	more.name = TCP_USER_TIMEOUT;
	more.value.data = value;
	more.value.len = 4;
	BAD("buffer sizes", w.sk.so_sndbuf = UINT32_MAX);
	BAD("network device", w.sk.so_bound_dev = (char *)"a-name-that-is-too-long");
	BAD("instructions", (w.sk.n_so_filter = BPF_MAXINSNS + 1, w.sk.so_filter = filter));
	BAD("timeouts", w.sk.so_rcv_tmo_usec = 1000000);
	/* of TCP, but it is no TCP socket */
	BAD("no option 6:18", (w.sk.n_more = 1, w.sk.more = list));
	more.level = SOL_SOCKET;
	more.name = SO_ATTACH_FILTER;
	BAD("no option 1:26", (w.sk.n_more = 1, w.sk.more = list));
	more.name = SO_RXQ_OVFL;
	more.value.len = 5;
	BAD("5 bytes for SO_RXQ_OVFL", (w.sk.n_more = 1, w.sk.more = list));
}

TEST(bad_groups)
{
	InetMembershipEntry m = INET_MEMBERSHIP_ENTRY__INIT, *list[] = { &m };
	uint32_t words[4] = { 0 };

	m.group = m.senders = words;
	m.n_group = 0;
	BAD("multicast group of 0", (w.inet.n_memberships = 1, w.inet.memberships = list));
	m.n_group = 4; /* of IPv6, in a socket of IPv4 */
	BAD("multicast group of 4", (w.inet.n_memberships = 1, w.inet.memberships = list));
	m.n_group = 2;
	BAD("multicast group of 2", (w.inet.n_memberships = 1, w.inet.memberships = list));
}

TEST(bad_datagrams)
{
	BAD("words", w.path.n_src_addr = 4);
	BAD("words", w.path.n_src_addr = w.path.n_dst_addr = 2);
	BAD("port 70000", w.path.src_port = 70000);
}

TEST(bad_packet_sockets)
{
	PacketRing ring = PACKET_RING__INIT;
	PacketMclist m = PACKET_MCLIST__INIT, *list[] = { &m };
	uint8_t address[33] = { 0 };

	BAD("type 1", w.packet.type = SOCK_STREAM);
	BAD("protocol 65536", w.packet.protocol = 65536);
	BAD("version 3", w.packet.version = 3);
	ring.block_nr = 4;
	BAD("ring of 4 blocks of 0", w.packet.rx_ring = &ring);
	ring.block_size = ring.block_nr = UINT32_MAX;
	BAD("ring", w.packet.tx_ring = &ring);
	m.addr.data = address;
	m.addr.len = sizeof(address);
	BAD("address of 33", (w.packet.n_mclist = 1, w.packet.mclist = list));
}

TEST(bad_netlink_sockets)
{
	uint32_t groups[65] = { 0 };

	BAD("protocol 256", w.netlink.protocol = 256);
	BAD("state 2", w.netlink.state = 2);
	BAD("group 33", w.netlink.dst_group = 33);
	BAD("type 1", (w.netlink.has_type = true, w.netlink.type = SOCK_STREAM));
	BAD("65 words", (w.netlink.n_groups = 65, w.netlink.groups = groups));
}

TEST_MAIN()
