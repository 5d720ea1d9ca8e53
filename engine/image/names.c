/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of bits and values. */
#include "engine/image/names.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

struct name {
	uint64_t value;
	const char *text;
};

struct names {
	const char *table;
	const char *field; /* of values: the field that they are for; NULL: bits */
	const struct name *v;
};

#define N(constant)                 \
	{                           \
		constant, #constant \
	}

static const struct name prot[] = { N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), { 0 } };

static const struct name map_flags[] = { N(MAP_SHARED),	   N(MAP_PRIVATE), N(MAP_ANONYMOUS),
					 N(MAP_GROWSDOWN), N(MAP_LOCKED),  N(MAP_NORESERVE),
					 N(MAP_STACK),	   N(MAP_HUGETLB), { 0 } };

/* What an area is, in the format's own bits. */
static const struct name area_status[] = { { 1 << 0, "regular" },	{ 1 << 1, "stack" },
					   { 1 << 2, "vsyscall" },	{ 1 << 3, "vdso" },
					   { 1 << 5, "heap" },		{ 1 << 6, "file-private" },
					   { 1 << 7, "file-shared" },	{ 1 << 8, "anon-shared" },
					   { 1 << 9, "anon-private" },	{ 1 << 10, "sysvipc" },
					   { 1 << 11, "socket" },	{ 1 << 12, "vvar" },
					   { 1 << 13, "aio-ring" },	{ 1 << 14, "memfd" },
					   { 1 << 15, "shadow-stack" }, { 1 << 16, "guard" },
					   { 1 << 17, "uprobes" },	{ 1 << 27, "plugin" },
					   { 1u << 31, "unsupported" }, { 0 } };

static const struct name pagemap_flags[] = {
	{ 1, "parent" }, { 2, "lazy" }, { 4, "present" }, { 0 }
};

static const struct name seals[] = { N(F_SEAL_SEAL),  N(F_SEAL_SHRINK),	      N(F_SEAL_GROW),
				     N(F_SEAL_WRITE), N(F_SEAL_FUTURE_WRITE), { 0 } };

/* O_SYNC holds the bit of O_DSYNC, and O_TMPFILE that of O_DIRECTORY: the larger ones come first.
 * On 64-bit machines the library says that O_LARGEFILE is 0; in images it is the kernel's. */
static const struct name open_flags[] = { N(O_WRONLY),
					  N(O_RDWR),
					  N(O_CREAT),
					  N(O_EXCL),
					  N(O_NOCTTY),
					  N(O_TRUNC),
					  N(O_APPEND),
					  N(O_NONBLOCK),
					  N(O_SYNC),
					  N(O_DSYNC),
					  N(O_ASYNC),
					  N(O_DIRECT),
					  N(O_TMPFILE),
					  N(O_DIRECTORY),
					  N(O_NOFOLLOW),
					  N(O_NOATIME),
					  N(O_CLOEXEC),
					  N(O_PATH),
					  { 0100000, "O_LARGEFILE" },
					  { 0 } };

static const struct name families[] = { N(AF_UNIX),    N(AF_INET),   N(AF_INET6),
					N(AF_NETLINK), N(AF_PACKET), { 0 } };

static const struct name types[] = { N(SOCK_STREAM),	N(SOCK_DGRAM),	N(SOCK_RAW),
				     N(SOCK_SEQPACKET), N(SOCK_PACKET), { 0 } };

static const struct name protocols[] = {
	N(IPPROTO_ICMP),    N(IPPROTO_TCP), N(IPPROTO_UDP), N(IPPROTO_ICMPV6),
	N(IPPROTO_UDPLITE), N(IPPROTO_RAW), { 0 }
};

static const struct name states[] = { N(TCP_ESTABLISHED), N(TCP_SYN_SENT),   N(TCP_SYN_RECV),
				      N(TCP_FIN_WAIT1),	  N(TCP_FIN_WAIT2),  N(TCP_TIME_WAIT),
				      N(TCP_CLOSE),	  N(TCP_CLOSE_WAIT), N(TCP_LAST_ACK),
				      N(TCP_LISTEN),	  N(TCP_CLOSING),    { 0 } };

static const struct name task_states[] = {
	{ 1, "alive" }, { 3, "zombie" }, { 6, "stopped" }, { 0 }
};

static const struct names tables[] = {
	{ "mmap.prot", NULL, prot },	      { "mmap.flags", NULL, map_flags },
	{ "mmap.status", NULL, area_status }, { "pmap.flags", NULL, pagemap_flags },
	{ "seals.flags", NULL, seals },	      { "rfile.flags", NULL, open_flags },
	{ "sk", "family", families },	      { "sk", "type", types },
	{ "sk", "proto", protocols },	      { "sk", "state", states },
	{ "gen", "task_state", task_states },
};

static const struct name *find(const char *table, const char *field)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (strcmp(tables[i].table, table) == 0 &&
		    (!tables[i].field || (field && strcmp(tables[i].field, field) == 0)))
			return tables[i].v;
	return NULL;
}

void names_print_flags(FILE *out, const char *table, uint64_t value)
{
	const struct name *n = find(table, NULL);
	bool some = false;

	for (; n && n->text; n++) {
		if ((value & n->value) != n->value)
			continue;
		fprintf(out, "%s%s", some ? "|" : "", n->text);
		value &= ~n->value;
		some = true;
	}
	if (value || !some)
		fprintf(out, "%s0x%llx", some ? "|" : "", (unsigned long long)value);
}

const char *names_of_value(const char *table, const char *field, uint64_t value)
{
	const struct name *n = find(table, field);

	for (; n && n->text; n++)
		if (n->value == value)
			return n->text;
	return NULL;
}
