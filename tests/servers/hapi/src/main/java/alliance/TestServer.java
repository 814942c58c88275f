package alliance;

import ca.uhn.fhir.batch2.api.IJobMaintenanceService;
import ca.uhn.fhir.rest.server.RestfulServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * Prints {@code READY http://127.0.0.1:PORT/fhir} once a FHIR R4 server answers there, and on no other address.
 *
 * <p>Properties: port (0 takes a free one), db (a JDBC URL), validate, strict, watch (ends when stdin closes).
 */
public final class TestServer {

    private TestServer() {}

    public static void main(String[] args) throws Exception {
        long begun = System.nanoTime();
        if (Boolean.getBoolean("watch")) { // before the slow start: a parent may die while this one still boots
            daemon("parent-watch", TestServer::endWithParent);
        }
        AnnotationConfigApplicationContext beans = new AnnotationConfigApplicationContext();
        beans.setAllowCircularReferences(true); // HAPI's own beans need it
        beans.register(ServerBeans.class);
        beans.refresh();
        sweepJobs(beans);
        int port = listen(beans.getBean(RestfulServer.class));
        System.out.printf("READY http://127.0.0.1:%d/fhir %.1f s%n", port, (System.nanoTime() - begun) / 1e9);
    }

    private static int listen(RestfulServer fhir) throws Exception {
        Server http = new Server(new InetSocketAddress("127.0.0.1", Integer.getInteger("port", 0)));
        ServletContextHandler paths = new ServletContextHandler("/");
        paths.addServlet(new ServletHolder(fhir), "/fhir/*");
        http.setHandler(paths);
        http.start();
        return ((ServerConnector) http.getConnectors()[0]).getLocalPort();
    }

    /** HAPI looks after its batch jobs once a minute, so that an export hangs for minutes; here it is every second. */
    private static void sweepJobs(ApplicationContext beans) {
        IJobMaintenanceService jobs = beans.getBean(IJobMaintenanceService.class);
        Executors.newSingleThreadScheduledExecutor(work -> daemonThread("job-sweep", work)).scheduleWithFixedDelay(() -> {
            try {
                jobs.runMaintenancePass();
            } catch (RuntimeException e) { // an exception would end the schedule
                System.err.println("job sweep: " + e);
            }
        }, 1, 1, TimeUnit.SECONDS);
    }

    /** The parent holds the other end of stdin: it closes however the parent ends, also by kill -9. */
    private static void endWithParent() {
        try (InputStream parent = System.in) {
            parent.transferTo(OutputStream.nullOutputStream());
        } catch (IOException e) {
            System.err.println("stdin: " + e);
        }
        Runtime.getRuntime().halt(0);
    }

    private static void daemon(String name, Runnable work) {
        daemonThread(name, work).start();
    }

    private static Thread daemonThread(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        return thread;
    }
}
