/* SPDX-License-Identifier: MIT */
/* Namespaces and TUN devices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "lab/lab.h"

#define DEVICE "wan"

static int open_device(struct lab_site *site)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	strcpy(request.ifr_name, DEVICE);
	site->tun_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (site->tun_fd < 0 || ioctl(site->tun_fd, TUNSETIFF, &request))
		return -1;
	lab_segment(site, false);
	return 0;
}

void lab_segment(struct lab_site *site, bool segmented)
{
	unsigned offloads = TUN_F_CSUM | (segmented ? 0 : TUN_F_TSO4);
	site->segmented = segmented;
	ioctl(site->tun_fd, TUNSETOFFLOAD, offloads);
}

/* In the namespace: what ip(8) is told, one command a line. */
static int configure(const struct dp_topology *t, unsigned site)
{
	FILE *ip = popen("ip -batch -", "we");
	if (!ip)
		return -1;
	fprintf(ip, "link set lo up\nlink set " DEVICE " mtu 1500 txqueuelen 10000 up\n");
	for (unsigned i = 0; i < t->node_count; i++)
		if (t->nodes[i].site == site)
			fprintf(ip, "addr add 10.77.%u.%u/32 dev " DEVICE "\n", site + 1, i + 1);
	fprintf(ip, "route add " LAB_NETWORK " dev " DEVICE "\n");
	return pclose(ip) ? -1 : 0;
}

/* /proc/PID/fd/N leads into the namespace as long as this process holds it. */
static int publish(const struct lab *lab, unsigned site)
{
	char link[PATH_MAX + sizeof LAB_NAMESPACES + DP_NAME_MAX + 2], target[64];
	snprintf(link, sizeof link, "%s/" LAB_NAMESPACES "/%s", lab->dir, lab->t->sites[site].name);
	snprintf(target, sizeof target, "/proc/%d/fd/%d", (int)getpid(),
		lab->sites[site].namespace_fd);
	unlink(link);
	return symlink(target, link);
}

/* This process is in the site's namespace afterwards. */
static int make_site(struct lab *lab, unsigned i)
{
	struct lab_site *site = &lab->sites[i];
	if (unshare(CLONE_NEWNET))
		return -1;
	site->namespace_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (site->namespace_fd < 0 || open_device(site) || configure(lab->t, i))
		return -1;
	return publish(lab, i);
}

int lab_make_sites(struct lab *lab)
{
	char dir[PATH_MAX];
	int err = verb_make_dirs(verb_node_path(lab->dir, LAB_NAMESPACES, "", dir), 0700);
	if (err)
		return cli_fail(EX_CANTCREAT, "cannot make the directory %s", dir);
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < lab->t->site_count; i++) {
		if (make_site(lab, i))
			return cli_fail(EX_OSERR, "cannot make the network of site %s: %s",
				lab->t->sites[i].name, strerror(errno));
	}
	setns(home, CLONE_NEWNET);
	close(home);
	return 0;
}
