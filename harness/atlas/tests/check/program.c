/* What `tests/check.rs` runs behind filters: it ends as its argument says. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	int made = socket(AF_NETLINK, SOCK_RAW, 0);
	printf("socket %d, %s\n", made, getenv("GREETING"));
	fflush(stdout);
	syscall(SYS_getppid);
	return count > 1 ? atoi(arguments[1]) : 0;
}
