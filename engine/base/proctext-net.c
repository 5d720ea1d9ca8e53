/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/proctext-net.h"

#include <arpa/inet.h>
#include <errno.h>

#include "engine/base/proctext-priv.h"

static int add(struct proc_groups *list, uint32_t ifindex, const uint32_t addr[4])
{
	struct proc_group *g = vec_add(list);

	if (!g)
		return -ENOMEM;
	g->ifindex = ifindex;
	memcpy(g->addr, addr, sizeof(g->addr));
	return 0;
}

/*
 * A line of a device, "1\tlo        :     1      V3", and below it one of each group,
 * "\t\t\t\t010000E0     1 0:00000000\t\t0": the address as one word, in the byte order of memory.
 */
static int igmp_line(struct proc_groups *list, struct proc_cursor *line, uint32_t *ifindex)
{
	uint32_t addr[4] = { 0 };

	if (scan_left(line) && !scan_is_blank(*line->p))
		return scan_field_u32(line, 10, ifindex) ? 0 : -EINVAL;
	if (!*ifindex || !scan_field_u32(line, 16, &addr[0]))
		return -EINVAL;
	return add(list, *ifindex, addr);
}

/* "1    lo              ff020000000000000000000000000001     1 0000000C 0" */
static int igmp6_line(struct proc_groups *list, struct proc_cursor *line)
{
	struct proc_cursor word;
	uint32_t ifindex, addr[4];
	size_t i;

	if (!scan_field_u32(line, 10, &ifindex))
		return -EINVAL;
	scan_blanks(line);
	if (!scan_word(line, &word))
		return -EINVAL;
	scan_blanks(line);
	if (!scan_word(line, &word) || scan_left(&word) != 32)
		return -EINVAL;
	for (i = 0; i < 4; i++) {
		struct proc_cursor part = { word.p + 8 * i, word.p + 8 * i + 8 };

		if (!scan_u32(&part, 16, &addr[i]) || !scan_end(&part))
			return -EINVAL;
		addr[i] = htonl(addr[i]);
	}
	return add(list, ifindex, addr);
}

static int parse(const char *text, size_t len, bool v6, struct proc_groups *ret)
{
	struct proc_cursor c = { text, text + len }, line;
	struct proc_groups list = { 0 };
	uint32_t ifindex = 0;
	int r = 0;

	/* the heading */
	if (!v6 && len)
		scan_line(&c, &line);
	while (r == 0 && scan_line(&c, &line))
		r = v6 ? igmp6_line(&list, &line) : igmp_line(&list, &line, &ifindex);
	if (r < 0)
		vec_free(&list);
	else
		*ret = list;
	return r;
}

int proc_igmp_parse(const char *text, size_t len, struct proc_groups *ret)
{
	return parse(text, len, false, ret);
}

int proc_igmp6_parse(const char *text, size_t len, struct proc_groups *ret)
{
	return parse(text, len, true, ret);
}

/* "0100007F:0035", of IPv6 with four words: each as one number in the byte order of memory. */
static bool inet_address(struct proc_cursor *c, uint32_t addr[4], uint32_t *port)
{
	struct proc_cursor word, part;
	size_t i = 0;

	scan_blanks(c);
	if (!scan_word(c, &word))
		return false;
	while (i < 4 && scan_left(&word) > 8) {
		part = (struct proc_cursor){ word.p, word.p + 8 };
		if (!scan_u32(&part, 16, &addr[i++]) || !scan_end(&part))
			return false;
		word.p += 8;
		if (*word.p == ':')
			break;
	}
	return (i == 1 || i == 4) && scan_char(&word, ':') && scan_u32(&word, 16, port) &&
	       scan_end(&word);
}

static bool skip_words(struct proc_cursor *c, int n)
{
	struct proc_cursor word;

	while (n-- > 0) {
		scan_blanks(c);
		if (!scan_word(c, &word))
			return false;
	}
	return true;
}

/* "  1: 0100007F:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 4711 2 ..." */
static bool inet_line(struct proc_cursor *line, struct proc_inet *s)
{
	return skip_words(line, 1) && inet_address(line, s->local, &s->local_port) &&
	       inet_address(line, s->remote, &s->remote_port) &&
	       scan_field_u32(line, 16, &s->state) && skip_words(line, 5) &&
	       scan_field_u64(line, 10, &s->ino);
}

int proc_inets_parse(const char *text, size_t len, struct proc_inets *ret)
{
	struct proc_cursor c = { text, text + len }, line;
	struct proc_inets list = { 0 };
	int r = 0;

	/* the heading */
	if (len)
		scan_line(&c, &line);
	while (r == 0 && scan_line(&c, &line)) {
		struct proc_inet *s = vec_add(&list);

		r = !s ? -ENOMEM : inet_line(&line, s) ? 0 : -EINVAL;
	}
	if (r < 0)
		vec_free(&list);
	else
		*ret = list;
	return r;
}
