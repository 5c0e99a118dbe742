"""Several boots side by side, each QEMU on a host core of its own, their consoles read by one loop.

Results under the model do not depend on the host's load, so a run's points may be split among as many QEMUs as
the host has cores. One that ends badly ends them all: what it stumbled over is in the code, not in the host.
"""
import os
import time

from .model import GuestMemory
from .qemu import Machine, Stall, wait_for_output
from .session import PANIC_TAIL_S, Session

# How a boot may end without ending the others: all that it had to do has been done.
FINISHED = ("complete", "failed", "malformed")


class Boot:
    """One boot: what to start, who listens, and how it ended.

    command: the words of QEMU's command line; or, when the guest's memory is to be shared with the model, a function
             from the path of that memory to them
    memory: the size of that memory, None for none
    listener: told of `begin(point)` and `result(point, result)`; point is None when the guest did not say
    log: a results.Appender for all that the console prints
    again: a function from the number of a data point to the Boot that goes on from there, where the guest leaves some for one
    """

    def __init__(self, command, listener, memory=None, log=None, again=None):
        self.command = command
        self.memory = memory
        self.log = log
        self.again = again
        self.session = Session(listener.begin, listener.result)
        self.status = None      # None while there is more to come
        self.reason = None
        self.exit_status = None # QEMU's, when it ended by itself

    def start(self, interrupts, core):
        raw_log = self.log.write if self.log else None
        if self.memory is None:
            return Machine(self.command, interrupts, raw_log, core)
        with GuestMemory(self.memory) as memory:
            return Machine(self.command(memory.path), interrupts, raw_log, core, (memory.fd,))

    def finish(self, status, reason):
        self.status, self.reason = status, reason

    def successor(self):
        """The boot for what this one has left, None when that is nothing."""
        number = self.session.ended.get("next") if self.session.ended else None
        return self.again(number) if number and self.again else None


def host_cores():
    """The host cores that this process may use, in an order that begins elsewhere for each process: several small
    runs at a time should not share the first core."""
    if not hasattr(os, "sched_getaffinity"):
        return [None] * (os.cpu_count() or 1)
    cores = sorted(os.sched_getaffinity(0))
    first = os.getpid() % len(cores)
    return cores[first:] + cores[:first]


class Fleet:
    """Runs boots, at most `jobs` at a time, in their order. Those that go on where one has stopped are added to `boots`. Use once:
    run()."""

    def __init__(self, boots, jobs, stall_s, pinned):
        self.boots = boots
        self.waiting = list(boots)
        self.stall_s = stall_s
        cores = host_cores()
        self.free = [cores[i % len(cores)] if pinned else None for i in range(jobs)]
        self.running = {}

    def run(self, interrupts):
        """Until every boot has ended, or one badly: that one is returned, else None. Raises Interrupted."""
        try:
            while self.waiting or self.running:
                while self.waiting and self.free:
                    boot = self.waiting.pop(0)
                    core = self.free.pop(0)
                    self.running[boot.start(interrupts, core)] = boot, core
                bad = self._step(interrupts)
                if bad:
                    return bad
            return None
        finally:
            self._end_all()

    def _step(self, interrupts):
        """Take what the machines have printed. Returns a boot that has ended badly."""
        wait = None
        for machine, (boot, _) in self.running.items():
            try:
                left = machine.patience(self.stall_s)
            except Stall as stall:
                return self._stalled(boot, stall)
            wait = left if wait is None else min(wait, left)
        for machine in wait_for_output(list(self.running), wait, interrupts):
            boot, core = self.running[machine]
            lines = machine.read()
            if lines is None:
                boot.exit_status = machine.wait()
                boot.finish(*boot.session.verdict(boot.exit_status))
                del self.running[machine]
                machine.close()
                self.free.append(core)
                if boot.status not in FINISHED:
                    return boot
                successor = boot.successor()
                if successor:
                    self.boots.append(successor)
                    self.waiting.insert(0, successor)
            else:
                self._feed(machine, boot.session, lines)
        return None

    def _feed(self, machine, session, lines):
        ending, planned = bool(session.panic) or session.refused, session.planned
        for line in lines:
            session.feed(line)
        if (session.panic or session.refused) and not ending:
            # It has nothing to do any more but print the rest and power off.
            machine.limit(time.monotonic() - machine.started + PANIC_TAIL_S)
        elif session.planned != planned:
            machine.limit(self.stall_s * (session.planned + 2))

    @staticmethod
    def _stalled(boot, stall):
        if boot.session.panic:
            boot.finish("panic", boot.session.panic[0])
        elif boot.session.refused:
            boot.finish("refused", boot.session.error)
        else:
            boot.finish("timeout", str(stall))
        return boot

    def _end_all(self):
        """All are asked to end before the first is waited for."""
        for machine in self.running:
            machine.terminate()
        for machine in self.running:
            machine.close()
        self.running.clear()
