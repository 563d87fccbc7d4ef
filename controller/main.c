/* SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

int main(int argc, char **argv)
{
	return dp_daemon_main(argc, argv, "dipole-controller", DP_ROLE_CONTROLLER);
}
