// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Settings of network devices ("all", "default" and each device) for IPv4 and IPv6. The image has
 * only values; which setting a value is for follows from its place, so the order of the lists is
 * part of the format. Newer settings may be at the end of an image's list, older images have
 * shorter lists.
 */
#include "engine/ns/net-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/cleanup.h"
#include "proto/network.pb-c.h"

static const char *const conf4[] = {
	"accept_local",
	"accept_redirects",
	"accept_source_route",
	"arp_accept",
	"arp_announce",
	"arp_filter",
	"arp_ignore",
	"arp_notify",
	"bootp_relay",
	"disable_policy",
	"disable_xfrm",
	"force_igmp_version",
	"forwarding",
	"igmpv2_unsolicited_report_interval",
	"igmpv3_unsolicited_report_interval",
	"log_martians",
	"medium_id",
	"promote_secondaries",
	"proxy_arp",
	"proxy_arp_pvlan",
	"route_localnet",
	"rp_filter",
	"secure_redirects",
	"send_redirects",
	"shared_media",
	"src_valid_mark",
	"tag",
	"ignore_routes_with_linkdown",
	"drop_gratuitous_arp",
	"drop_unicast_in_l2_multicast",
};

static const char *const conf6[] = {
	"accept_dad",
	"accept_ra",
	"accept_ra_defrtr",
	"accept_ra_from_local",
	"accept_ra_min_hop_limit",
	"accept_ra_mtu",
	"accept_ra_pinfo",
	"accept_ra_rt_info_max_plen",
	"accept_ra_rtr_pref",
	"accept_redirects",
	"accept_source_route",
	"autoconf",
	"dad_transmits",
	"disable_ipv6",
	"drop_unicast_in_l2_multicast",
	"drop_unsolicited_na",
	"force_mld_version",
	"force_tllao",
	"forwarding",
	"hop_limit",
	"ignore_routes_with_linkdown",
	"keep_addr_on_down",
	"max_addresses",
	"max_desync_factor",
	"mldv1_unsolicited_report_interval",
	"mldv2_unsolicited_report_interval",
	"mtu",
	"ndisc_notify",
	"optimistic_dad",
	"proxy_ndp",
	"regen_max_retry",
	"router_probe_interval",
	"router_solicitation_delay",
	"router_solicitation_interval",
	"router_solicitations",
	"stable_secret",
	"suppress_frag_ndisc",
	"temp_prefered_lft",
	"temp_valid_lft",
	"use_oif_addrs_only",
	"use_optimistic",
	"use_tempaddr",
};

static const struct family {
	const char *name;
	const char *const *settings;
	size_t n;
} families[] = {
	[NET_IPV4] = { "ipv4", conf4, sizeof(conf4) / sizeof(conf4[0]) },
	[NET_IPV6] = { "ipv6", conf6, sizeof(conf6) / sizeof(conf6[0]) },
};

enum { VALUE_SIZE = 201 };

static bool is_text(const char *setting)
{
	return strcmp(setting, "stable_secret") == 0;
}

static SysctlEntry *entry_new(SysctlType type)
{
	SysctlEntry *e = malloc(sizeof(*e));

	if (e) {
		sysctl_entry__init(e);
		e->type = type;
	}
	return e;
}

/* A setting that does not exist has an entry without a value. */
static int entry_read(const char *path, SysctlEntry *e)
{
	char text[VALUE_SIZE];
	int r = ns_sysctl_read(path, text, sizeof(text));

	/* EIO: a secret that was never set */
	if (r == -ENOENT || r == -EIO)
		return 0;
	if (r < 0)
		return r;
	if (e->type == SYSCTL_TYPE__CTL_STR) {
		e->sarg = strdup(text);
		return e->sarg ? 0 : -ENOMEM;
	}
	e->has_iarg = true;
	e->iarg = (int32_t)strtol(text, NULL, 10);
	return 0;
}

static int entry_write(const char *path, const SysctlEntry *e, bool weak, struct err *err)
{
	char text[VALUE_SIZE];
	int r;

	if (e->type == SYSCTL_TYPE__CTL_STR ? !e->sarg : !e->has_iarg)
		return 0;
	if (e->type == SYSCTL_TYPE__CTL_STR)
		snprintf(text, sizeof(text), "%s", e->sarg);
	else
		snprintf(text, sizeof(text), "%d", e->iarg);
	r = ns_sysctl_set(path, text, err);
	if (r != -ENOENT)
		return r;
	if (weak) {
		*err = (struct err)ERR_INIT;
		return 0;
	}
	err_hint(err, "this kernel does not have the setting; --weak-sysctls leaves it out");
	return r;
}

void net_conf_free(size_t n, SysctlEntry **list)
{
	for (size_t i = 0; list && i < n; i++) {
		if (!list[i])
			continue;
		free(list[i]->sarg);
		free(list[i]);
	}
	free(list);
}

static void conf_path(char *buf, size_t size, const struct family *f, const char *target, size_t i)
{
	snprintf(buf, size, "net/%s/conf/%s/%s", f->name, target, f->settings[i]);
}

int net_conf_read(enum net_family family, const char *target, size_t *ret_n, SysctlEntry ***ret,
		  struct err *err)
{
	const struct family *f = &families[family];
	SysctlEntry **list = calloc(f->n, sizeof(*list));
	char path[128];
	int r = list ? 0 : err_nomem(err);

	for (size_t i = 0; i < f->n && r == 0; i++) {
		list[i] = entry_new(is_text(f->settings[i]) ? SYSCTL_TYPE__CTL_STR
							    : SYSCTL_TYPE__CTL_32);
		if (!list[i]) {
			r = err_nomem(err);
			break;
		}
		conf_path(path, sizeof(path), f, target, i);
		r = entry_read(path, list[i]);
		if (r < 0)
			err_sys(err, r, "reading '/proc/sys/%s'", path);
	}
	if (r < 0) {
		net_conf_free(f->n, list);
		return r;
	}
	*ret = list;
	*ret_n = f->n;
	return 0;
}

/*
 * Setting forwarding of "all" changes it for every device, and accept_redirects with it: so all
 * forwarding comes before everything else.
 */
int net_conf_write(enum net_family family, const char *target, size_t n, SysctlEntry *const *list,
		   bool weak, struct err *err)
{
	const struct family *f = &families[family];
	char path[128];
	int r = 0;

	for (int forwarding = 1; forwarding >= 0; forwarding--) {
		for (size_t i = 0; i < n && i < f->n && r == 0; i++) {
			if ((strcmp(f->settings[i], "forwarding") == 0) != forwarding)
				continue;
			conf_path(path, sizeof(path), f, target, i);
			r = entry_write(path, list[i], weak, err);
		}
	}
	return r;
}

int net_conf_check(enum net_family family, size_t n, SysctlEntry *const *list, struct err *err)
{
	const struct family *f = &families[family];

	for (size_t i = 0; i < n && i < f->n; i++) {
		SysctlType want = is_text(f->settings[i]) ? SYSCTL_TYPE__CTL_STR
							  : SYSCTL_TYPE__CTL_32;

		if (list[i]->type != want)
			return err_image(err, "%s setting '%s' has a value of a wrong type",
					 f->name, f->settings[i]);
		if (list[i]->sarg && strlen(list[i]->sarg) >= VALUE_SIZE)
			return err_image(err, "%s setting '%s' has a value that is too long",
					 f->name, f->settings[i]);
	}
	return 0;
}

/* ---- settings that do not belong to a device: lists of one ---- */

#define UNIX_QUEUE "net/unix/max_dgram_qlen"
#define PING_RANGE "net/ipv4/ping_group_range"

static int list_of_one(const char *path, SysctlType type, size_t *ret_n, SysctlEntry ***ret,
		       struct err *err)
{
	int r;

	*ret = calloc(1, sizeof(**ret));
	if (!*ret || !((*ret)[0] = entry_new(type)))
		return err_nomem(err);
	*ret_n = 1;
	r = entry_read(path, (*ret)[0]);
	return r < 0 ? err_sys(err, r, "reading '/proc/sys/%s'", path) : 0;
}

int net_misc_read(NetnsEntry *e, struct err *err)
{
	int r = list_of_one(UNIX_QUEUE, SYSCTL_TYPE__CTL_32, &e->n_unix_conf, &e->unix_conf, err);
	unsigned int from, to;

	if (r == 0)
		r = list_of_one(PING_RANGE, SYSCTL_TYPE__CTL_STR, &e->n_ipv4_sysctl,
				&e->ipv4_sysctl, err);
	if (r < 0 || !e->ipv4_sysctl[0]->sarg)
		return r;
	/*
	 * "1 0" means that nobody may ping. It is what a new namespace has, and inside of a user
	 * namespace that does not map these groups it could not be written.
	 */
	if (sscanf(e->ipv4_sysctl[0]->sarg, "%u %u", &from, &to) == 2 && from == 1 && to == 0) {
		free(e->ipv4_sysctl[0]->sarg);
		e->ipv4_sysctl[0]->sarg = NULL;
	}
	return 0;
}

void net_misc_free(NetnsEntry *e)
{
	net_conf_free(e->n_unix_conf, e->unix_conf);
	net_conf_free(e->n_ipv4_sysctl, e->ipv4_sysctl);
}

int net_misc_check(const NetnsEntry *e, struct err *err)
{
	if ((e->n_unix_conf && e->unix_conf[0]->type != SYSCTL_TYPE__CTL_32) ||
	    (e->n_ipv4_sysctl && e->ipv4_sysctl[0]->type != SYSCTL_TYPE__CTL_STR))
		return err_image(err, "a setting has a value of a wrong type");
	if (e->n_ipv4_sysctl && e->ipv4_sysctl[0]->sarg &&
	    strlen(e->ipv4_sysctl[0]->sarg) >= VALUE_SIZE)
		return err_image(err, "a setting has a value that is too long");
	return 0;
}

int net_misc_write(const NetnsEntry *e, bool weak, struct err *err)
{
	int r = 0;

	if (e->n_unix_conf)
		r = entry_write(UNIX_QUEUE, e->unix_conf[0], weak, err);
	if (r == 0 && e->n_ipv4_sysctl)
		r = entry_write(PING_RANGE, e->ipv4_sysctl[0], weak, err);
	return r;
}
