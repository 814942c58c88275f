package alliance;

import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirPostgresDialect;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.ValueSetOperationProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.jpa.validation.ValidationSettings;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.interceptor.SearchPreferHandlingInterceptor;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import ca.uhn.fhir.validation.IValidatorModule;
import com.zaxxer.hikari.HikariDataSource;
import jakarta.persistence.EntityManagerFactory;
import java.util.Properties;
import javax.sql.DataSource;
import org.hl7.fhir.dstu2.model.Subscription.SubscriptionChannelType;
import org.hl7.fhir.r5.utils.validation.constants.ReferenceValidationPolicy;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;

/** HAPI FHIR JPA R4 on H2, with bulk export and rest-hook subscriptions. */
@Configuration
@Import({
    JpaR4Config.class,
    HapiJpaConfig.class,
    ThreadPoolFactoryConfig.class,
    JpaBatch2Config.class,
    Batch2JobsConfig.class,
    SubscriptionChannelConfig.class,
    SubscriptionSubmitterConfig.class,
    SubscriptionProcessorConfig.class
})
public class ServerBeans {

    private static final String DATABASE = System.getProperty("db", "jdbc:h2:mem:fhir;DB_CLOSE_DELAY=-1");

    @Bean
    JpaStorageSettings storageSettings() {
        JpaStorageSettings settings = new JpaStorageSettings();
        settings.setAllowExternalReferences(true);
        settings.setAllowMultipleDelete(true);
        settings.setExpungeEnabled(true);
        settings.setDeleteExpungeEnabled(true);
        settings.setReuseCachedSearchResultsForMillis(null); // a search sees every write before it
        settings.setJobFastTrackingEnabled(true); // a bulk export ends in seconds
        settings.setResourceClientIdStrategy(JpaStorageSettings.ClientIdStrategyEnum.ANY);
        settings.setResourceServerIdStrategy(JpaStorageSettings.IdStrategyEnum.UUID);
        return settings;
    }

    @Bean
    PartitionSettings partitionSettings() {
        return new PartitionSettings();
    }

    @Bean
    SubscriptionSettings subscriptionSettings() {
        SubscriptionSettings settings = new SubscriptionSettings();
        settings.addSupportedSubscriptionType(SubscriptionChannelType.RESTHOOK);
        settings.setSubscriptionChangeQueuedImmediately(true);
        return settings;
    }

    @Bean
    IEmailSender emailSender() { // the subscription beans ask for one
        return details -> {};
    }

    @Bean(destroyMethod = "close")
    DataSource dataSource() {
        HikariDataSource source = new HikariDataSource();
        source.setJdbcUrl(DATABASE);
        source.setUsername("sa");
        source.setPassword("");
        source.setMaximumPoolSize(20);
        return source;
    }

    @Bean
    LocalContainerEntityManagerFactoryBean entityManagerFactory(
            ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings storage, DataSource source) {
        Properties hibernate = new Properties();
        Class<?> dialect = DATABASE.startsWith("jdbc:postgresql:") ? HapiFhirPostgresDialect.class : HapiFhirH2Dialect.class;
        hibernate.put("hibernate.dialect", dialect.getName());
        hibernate.put("hibernate.hbm2ddl.auto", "update");
        hibernate.put("hibernate.jdbc.batch_size", "50");
        hibernate.put("hibernate.order_inserts", "true");
        hibernate.put("hibernate.search.enabled", "false");
        LocalContainerEntityManagerFactoryBean factory =
                HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, storage);
        factory.setPersistenceUnitName("HAPI_PU");
        factory.setDataSource(source);
        factory.setJpaProperties(hibernate);
        return factory;
    }

    @Bean
    @Primary
    JpaTransactionManager transactionManager(EntityManagerFactory factory) {
        return new JpaTransactionManager(factory);
    }

    @Bean
    RestfulServer restfulServer(
            FhirContext fhir,
            ResourceProviderFactory resources,
            IJpaSystemProvider system,
            BulkDataExportProvider export,
            ValueSetOperationProvider valueSets,
            DatabaseBackedPagingProvider paging,
            ISearchParamRegistry params,
            IValidatorModule validator,
            ValidationSettings validation) {
        keepVersions(fhir);
        // HAPI ignores what a reference points to; a profile's Reference(Patient) would then be empty words
        validation.setLocalReferenceValidationDefaultPolicy(ReferenceValidationPolicy.CHECK_TYPE_IF_EXISTS);
        RestfulServer server = new RestfulServer(fhir);
        server.registerProviders(resources.createProviders());
        server.registerProviders(system, export, valueSets);
        server.registerInterceptor(new SearchPreferHandlingInterceptor(params)); // Prefer: handling=lenient
        if (Boolean.getBoolean("strict")) { // unknown elements are refused
            fhir.setParserErrorHandler(new StrictErrorHandler());
        }
        if (Boolean.getBoolean("validate")) {
            server.registerInterceptor(new WriteValidation(validator));
        }
        paging.setDefaultPageSize(20);
        paging.setMaximumPageSize(1000);
        server.setPagingProvider(paging);
        return server;
    }

    @Bean
    JpaCapabilityStatementProvider capabilities(
            RestfulServer server,
            IFhirSystemDao<?, ?> dao,
            JpaStorageSettings storage,
            ISearchParamRegistry params,
            IValidationSupport validation) {
        JpaCapabilityStatementProvider statement =
                new JpaCapabilityStatementProvider(server, dao, storage, params, validation);
        statement.setImplementationDescription("HAPI FHIR JPA R4, for tests");
        server.setServerConformanceProvider(statement);
        return statement;
    }

    /** HAPI cuts the version off every reference; a score must go on naming the version of the form it rests on. */
    private static void keepVersions(FhirContext fhir) {
        fhir.getParserOptions()
                .setDontStripVersionsFromReferencesAtPaths(
                        "AuditEvent.entity.what", // HAPI's own default, which this call replaces
                        "Observation.derivedFrom",
                        "Provenance.target",
                        "Provenance.entity.what");
    }
}
