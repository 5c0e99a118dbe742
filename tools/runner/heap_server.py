"""The trace of a server that there is not: the heap calls of a kernel that serves connections on several CPUs, made from a
seed. What it has of Linux and what is made up, docs/heap-traces.md says."""
from .heap_trace import Builder

MASK = (1 << 64) - 1
# Sizes of objects as Linux 6.18 for x86-64 has them (object_size in /sys/kernel/slab), and of kmalloc where it uses that.
FILE, DENTRY, SOCK_INODE, TCP_SOCK, REQUEST_SOCK = 184, 192, 768, 2304, 312
SKB, SKB_CLONE, SKB_SMALL_HEAD, PACKET = 224, 512, 576, 2048
EPOLL_ITEM, EPOLL_WAIT, TIMER, NAME = 128, 64, 384, 4096
INODE, PAGE_TREE_NODE, BIO, SEQ_FILE = 1120, 576, 184, 120
PROCESS = (5952, 1152, 2080, 704, 1568, 64, 184, 184)     # task, signals, handlers, files, mm, fs, credentials, pid
AREA = (192, 64, 96, 256)                                 # vma, its link to an anon_vma, that, a node of the tree

THREADS = 16
REQUESTS = 12                   # of each thread, in the steady state
CONNECTIONS = 8                 # of each thread, open at a time
CACHED_FILES = 16               # of each thread: dentry and inode


class Random:
    """splitmix64: the same numbers whatever Python it is."""

    def __init__(self, seed):
        self.state = seed & MASK

    def below(self, bound):
        self.state = (self.state + 0x9e3779b97f4a7c15) & MASK
        z = self.state
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & MASK
        return ((z ^ z >> 31) * bound) >> 64


class Cpu:
    """What one thread of the server holds."""

    def __init__(self, server, number):
        self.server = server
        self.builder = server.builder
        self.random = server.random
        self.number = number
        self.inbox = []         # (packet objects, their connection) that the network has put here
        self.sent = []          # objects to free when the network is done with them
        self.connections = []
        self.files = []
        self.processes = []
        self.later = []         # objects that are freed a round later: what readers without locks may still see

    def alloc(self, size):
        return self.builder.alloc(self.number, size)

    def free(self, *objects):
        for thing in objects:
            self.builder.free(self.number, thing)

    def start(self):
        self.processes.append(self.fork())
        for _ in range(CACHED_FILES):
            self.files.append((self.alloc(DENTRY), self.alloc(INODE)))

    def fork(self):
        things = [self.alloc(size) for size in PROCESS]
        for _ in range(4 + self.random.below(8)):
            things += [self.alloc(size) for size in AREA]
        return things

    def accept(self, came_in_on):
        """The handshake's state is made where the packet came in, and ends here."""
        request = came_in_on.alloc(REQUEST_SOCK)
        things = [self.alloc(size) for size in (TCP_SOCK, SOCK_INODE, DENTRY, FILE, EPOLL_ITEM, EPOLL_WAIT, TIMER)]
        self.free(request)
        self.connections.append(things)

    def close(self):
        things = self.connections.pop(self.random.below(len(self.connections)))
        socket, inode, dentry, file, *rest = things
        self.free(*rest, socket)
        self.later += [file, dentry, inode]

    def receive(self):
        """A packet for a connection of some thread, three times out of four of this one: flows are steered, and not always well."""
        owner = self if self.random.below(4) else self.server.cpus[self.random.below(len(self.server.cpus))]
        size = SKB_SMALL_HEAD if self.random.below(3) else PACKET
        owner.inbox.append((self.alloc(SKB), self.alloc(size)))

    def look_up(self):
        """A path's name, a page of it for a moment; a file that is not cached takes the place of the oldest."""
        name = self.alloc(NAME)
        if self.random.below(8) == 0:
            self.files.append((self.alloc(DENTRY), self.alloc(INODE)))
            self.later += self.files.pop(0)
            if self.random.below(4) == 0:
                self.files[-1] += (self.alloc(PAGE_TREE_NODE),)
        self.free(name)

    def serve(self, packet):
        """Headers that grow as they are read, the file, the answer."""
        headers = self.alloc(64)
        for size in (128, 256, 512)[:self.random.below(4)]:
            headers = self.builder.realloc(self.number, headers, size)
        small = [self.alloc(8 << self.random.below(6)) for _ in range(2 + self.random.below(4))]
        self.free(*packet)
        self.look_up()
        if self.random.below(3) == 0:
            bio = self.alloc(BIO)
            self.free(bio)
        if self.random.below(16) == 0:
            log = (self.alloc(SEQ_FILE), self.alloc(4096))
            self.free(*reversed(log))
        for _ in range(1 + self.random.below(3)):
            answer = (self.alloc(SKB_CLONE), self.alloc(SKB_SMALL_HEAD))
            # The network says so on the CPU that has the interrupt of the queue.
            done_on = self if self.random.below(4) else self.server.cpus[self.random.below(len(self.server.cpus))]
            done_on.sent += answer
        self.free(*small, headers)

    def step(self):
        """What a CPU does between two others' steps."""
        sent, self.sent = self.sent, []
        self.free(*sent)
        later, self.later = self.later, []
        for _ in range(1 + self.random.below(2)):
            self.receive()
        taken, self.inbox = self.inbox[:3], self.inbox[3:]
        for packet in taken:
            self.serve(packet)
        if self.random.below(5) == 0:
            self.close()
            self.accept(self.server.cpus[self.random.below(len(self.server.cpus))])
        if self.random.below(100) == 0:
            self.free(*self.processes.pop(0))
            self.processes.append(self.fork())
        self.free(*later)


class Server:
    def __init__(self, seed, threads):
        self.builder = Builder()
        self.random = Random(seed)
        self.cpus = [Cpu(self, number) for number in range(threads)]


def make(seed=1, threads=THREADS, requests=REQUESTS):
    """The bytes of the trace. It ends with the server running: connections, caches and processes are live."""
    server = Server(seed, threads)
    for cpu in server.cpus:
        cpu.start()
    for _ in range(CONNECTIONS):
        for cpu in server.cpus:
            cpu.accept(server.cpus[server.random.below(threads)])
    for _ in range(requests):
        for cpu in server.cpus:
            cpu.step()
    return server.builder.finish(f"server seed {seed}")
